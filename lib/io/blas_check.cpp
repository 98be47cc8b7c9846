#include "vlm/io/blas_check.h"

#include <dlfcn.h>

#include <filesystem>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

std::string blas_provider() {
  // The default scope is the one in which the dynamic linker looked for LibTorch's own call.
  void* const symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (!symbol || dladdr(symbol, &info) == 0 || !info.dli_fname) return "";
  return info.dli_fname;
}

std::string blas_provider_warning() {
  const std::string provider = blas_provider();
  if (provider.empty()) return "";
  const std::string name = std::filesystem::path(provider).filename();
  if (starts_with(name, "libtorch")) return "";
  return concat("matrix products come from ", provider, " instead of LibTorch and may be many times slower: link torch_cpu ",
                "(or vlm::vlm, which names it) before whatever brings that library");
}

}  // namespace vlm
