# LibTorch as the target vlm_torch, linked as torch_cpu and c10 directly: the CMake package inside PyTorch's wheel
# insists on a CUDA toolkit even where only the CPU is used.
#
# Looked for, in this order: VLM_TORCH_ROOT, Torch_ROOT, Torch_DIR, CMAKE_PREFIX_PATH (a LibTorch that is already
# there), then the wheel that `./dev setup` unpacked below the user's cache folder.
if(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(_vlm_cache $ENV{XDG_CACHE_HOME}/vlm)
else()
  set(_vlm_cache $ENV{HOME}/.cache/vlm)
endif()
file(GLOB _vlm_unpacked ${_vlm_cache}/libtorch-*/torch)
list(SORT _vlm_unpacked COMPARE NATURAL ORDER DESCENDING)
set(_vlm_torch_hints ${VLM_TORCH_ROOT} $ENV{VLM_TORCH_ROOT} ${Torch_ROOT} $ENV{Torch_ROOT})
if(Torch_DIR)
  list(APPEND _vlm_torch_hints ${Torch_DIR}/../../..)
endif()
find_path(VLM_TORCH_INCLUDE ATen/core/Tensor.h HINTS ${_vlm_torch_hints} PATHS ${_vlm_unpacked} PATH_SUFFIXES include)
find_library(VLM_TORCH_CPU torch_cpu HINTS ${_vlm_torch_hints} PATHS ${_vlm_unpacked} PATH_SUFFIXES lib)
find_library(VLM_TORCH_C10 c10 HINTS ${_vlm_torch_hints} PATHS ${_vlm_unpacked} PATH_SUFFIXES lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(VlmTorch REQUIRED_VARS VLM_TORCH_CPU VLM_TORCH_C10 VLM_TORCH_INCLUDE
  REASON_FAILURE_MESSAGE "run ./dev setup, which unpacks LibTorch 2.11 from its PyPI wheel, or give -DTorch_ROOT=DIR (any LibTorch from 2.9 on)")

if(VlmTorch_FOUND AND NOT TARGET vlm_torch)
  get_filename_component(_vlm_torch_lib ${VLM_TORCH_CPU} DIRECTORY)
  add_library(vlm_torch INTERFACE IMPORTED GLOBAL)
  target_include_directories(vlm_torch SYSTEM INTERFACE ${VLM_TORCH_INCLUDE} ${VLM_TORCH_INCLUDE}/torch/csrc/api/include)
  # --no-as-needed: LibTorch must come first in the program's own list of libraries (see VlmRooms.cmake).
  target_link_options(vlm_torch INTERFACE "LINKER:-rpath,${_vlm_torch_lib}")
  target_link_libraries(vlm_torch INTERFACE
    "-Wl,--push-state,--no-as-needed" ${VLM_TORCH_CPU} ${VLM_TORCH_C10} "-Wl,--pop-state")
  if(VLM_CUDA)
    target_compile_definitions(vlm_torch INTERFACE VLM_CUDA=1)
    foreach(lib torch_cuda c10_cuda)
      find_library(VLM_TORCH_${lib} ${lib} HINTS ${_vlm_torch_lib} REQUIRED)
      target_link_libraries(vlm_torch INTERFACE "-Wl,--push-state,--no-as-needed" ${VLM_TORCH_${lib}} "-Wl,--pop-state")
    endforeach()
  endif()
endif()
