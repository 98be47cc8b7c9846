#include "vlm/io/torch_checkpoint.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstring>
#include <map>
#include <unordered_set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/checkpoint_content.h"
#include "vlm/io/mapped_file.h"
#include "vlm/io/pickle_machine.h"
#include "vlm/io/zip_archive.h"

namespace vlm {

namespace torch_checkpoint {

constexpr const char* legacy_magic = "119547037146038801333356";  // 0x1950a86a20f9469cfc6c

/// The one "<root>/data.pkl"; returns "<root>/".
std::string root_of(const StoredZip& zip) {
  std::vector<std::string> roots;
  for (const auto& [name, entry] : zip.entries()) {
    const size_t slash = name.find('/');
    if (slash != std::string::npos && slash > 0 && std::string_view(name).substr(slash) == "/data.pkl")
      roots.push_back(name.substr(0, slash + 1));
  }
  if (roots.empty()) fail("a ZIP archive without data.pkl, so no checkpoint of PyTorch");
  if (roots.size() > 1) fail("a ZIP archive with several data.pkl: ", roots[0], "data.pkl and ", roots[1], "data.pkl");
  return roots[0];
}

void read_zip(TorchCheckpointContent& content, const TorchCheckpointOptions& options) {
  const StoredZip zip(content.file->bytes());
  const std::string root = root_of(zip);
  for (const auto& [name, entry] : zip.entries()) {
    const bool code = starts_with(name, root + "code/");
    content.torchscript = content.torchscript || code || name == root + "constants.pkl";
    if (entry.method != 0 && !code)
      fail("the archive's entry '", name, "' is compressed; PyTorch stores its entries as they are");
  }
  if (zip.contains(root + "byteorder")) {
    const std::string_view order = zip.read(root + "byteorder");
    if (order != "little") fail("byteorder is '", order.substr(0, 40), "'; only little-endian checkpoints are read");
  }
  PickleMachine machine(zip.read(root + "data.pkl"), PickleOptions{options.allow_unknown_globals, content.torchscript});
  content.tree = with_context("data.pkl", [&] { return machine.run(); });
  // A storage that is missing is an error only if a value that can be reached uses it.
  for (const auto& storage : content.tree.storages) {
    const std::string name = root + "data/" + storage.key;
    if (zip.contains(name)) content.storages.emplace(storage.key, zip.read(name));
  }
}

uint64_t legacy_element_size(const PickleStorage& storage) {
  return storage.dtype < 0 ? 1 : c10::elementSize(torch_dtypes()[static_cast<size_t>(storage.dtype)].type);
}

void read_legacy(TorchCheckpointContent& content, const TorchCheckpointOptions& options) {
  const std::string_view bytes = content.file->bytes();
  size_t at = 0;
  const auto next = [&](const char* what) {
    return with_context(what, [&] {
      PickleMachine machine(bytes.substr(at), PickleOptions{options.allow_unknown_globals, false});
      PickleTree tree = machine.run();
      at += machine.consumed();
      return tree;
    });
  };
  const auto root = [](const PickleTree& tree) -> const PickleNode& { return tree.nodes[tree.root]; };

  const PickleTree magic = next("magic number");
  if (root(magic).kind != PickleKind::big_integer || magic.text(root(magic)) != legacy_magic) {
    fail("a pickle, but not one that torch.save wrote (wrong magic number)");
  }
  const PickleTree protocol = next("protocol number");
  if (root(protocol).kind != PickleKind::integer || root(protocol).integer != 1001)
    fail("an unknown protocol of torch.save (1001 is known)");
  const PickleTree system = next("system information");
  bool little = false;
  for (size_t i = 0; root(system).kind == PickleKind::dict && i < system.size(root(system)); i += 2) {
    const PickleNode& key = system.nodes[system.item(root(system), i)];
    const PickleNode& value = system.nodes[system.item(root(system), i + 1)];
    if (key.kind == PickleKind::string && system.text(key) == "little_endian")
      little = value.kind == PickleKind::boolean && value.integer;
  }
  if (!little) fail("byteorder is not 'little'; only little-endian checkpoints are read");
  content.tree = next("object");

  std::map<std::string, const PickleStorage*> named;
  for (const auto& storage : content.tree.storages) {
    const auto [it, fresh] = named.emplace(storage.key, &storage);
    if (!fresh && (it->second->dtype != storage.dtype || it->second->numel != storage.numel))
      fail("storage '", storage.key, "' is described in two ways");
  }
  const PickleTree keys = next("list of storages");
  if (root(keys).kind != PickleKind::list) fail("the list of storages is none");
  for (size_t i = 0; i < keys.size(root(keys)); ++i) {
    const PickleNode& node = keys.nodes[keys.item(root(keys), i)];
    if (node.kind != PickleKind::string) fail("the list of storages holds what is no key");
    const std::string key(keys.text(node));
    const auto it = named.find(key);
    if (it == named.end()) fail("storage '", key.substr(0, 40), "' belongs to nothing in the checkpoint");
    if (bytes.size() - at < 8) fail("storage '", key, "' is missing (an interrupted download?)");
    uint64_t numel = 0;
    for (size_t k = 8; k-- > 0;) numel = numel << 8 | static_cast<unsigned char>(bytes[at + k]);
    at += 8;
    if (numel != static_cast<uint64_t>(it->second->numel)) {
      fail("storage '", key, "' has ", numel, " elements where the checkpoint speaks of ", it->second->numel);
    }
    uint64_t size = 0;
    if (__builtin_mul_overflow(numel, legacy_element_size(*it->second), &size) || size > bytes.size() - at) {
      fail("storage '", key, "' needs more bytes than the ", bytes.size() - at, " that are left (an interrupted download?)");
    }
    if (!content.storages.emplace(key, bytes.substr(at, size)).second) fail("storage '", key, "' stands twice in the file");
    at += size;
  }
  content.legacy = true;
}

}  // namespace torch_checkpoint

bool looks_like_torch_checkpoint(std::string_view bytes) {
  return starts_with(bytes, "PK\x03\x04") || starts_with(bytes, "\x80");
}

TorchCheckpoint::TorchCheckpoint(const std::filesystem::path& file, const TorchCheckpointOptions& options) {
  with_context(file.string(), [&] {
    auto content = std::make_shared<TorchCheckpointContent>();
    content->file = std::make_shared<MappedFile>(file);
    const std::string_view bytes = content->file->bytes();
    if (bytes.empty()) fail("the file is empty");
    if (starts_with(bytes, "PK\x03\x04")) {
      torch_checkpoint::read_zip(*content, options);
    } else if (bytes[0] == '\x80') {
      torch_checkpoint::read_legacy(*content, options);
    } else {
      refuse_foreign_content(bytes);
      if (bytes.size() > 512 && bytes.substr(257, 5) == "ustar")
        fail("a tar archive, as PyTorch wrote them before 0.1.10: re-save it with a newer torch");
      fail("not a checkpoint of PyTorch: neither a ZIP archive nor a pickle");
    }
    check_checkpoint(*content);
    content_ = std::move(content);
  });
}

CheckpointValue TorchCheckpoint::root() const { return CheckpointValue(content_, content_->tree.root); }
bool TorchCheckpoint::torchscript() const { return content_->torchscript; }
bool TorchCheckpoint::legacy() const { return content_->legacy; }

}  // namespace vlm
