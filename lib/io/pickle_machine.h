#pragma once
/// Pickles as data. The machine knows the opcodes that torch.save uses (protocols 0 to 5) and the few functions and classes
/// of PickleGlobal; anything else is refused by name. Nothing is imported, called or run. Every length is compared with the
/// bytes that are left before anything is read; no step recurses. (Python's pickletools lists the opcodes; specs:
/// clip, 9.2.)

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "vlm/io/pickle_tree.h"

namespace vlm {

struct PickleOptions {
  bool allow_unknown_globals = false;  ///< classes that are not known become placeholders, whose content is dropped
  bool torchscript = false;            ///< classes below __torch__ become dicts of their attributes
};

class PickleMachine {
 public:
  /// `source` begins with a pickle and may go on after it; at most 1 GiB of it is looked at. It must outlive the tree.
  PickleMachine(std::string_view source, const PickleOptions& options);
  /// Throws an Error that says at which byte what was wrong.
  PickleTree run();
  /// Bytes that the pickle took.
  size_t consumed() const { return at_; }

 private:
  // reading
  std::string_view take(uint64_t size, const char* what);
  template <class T>
  T number(const char* what);
  std::string_view line(const char* what);
  void step(unsigned char opcode);
  // values
  uint32_t add(PickleKind kind);
  uint32_t add_integer(int64_t value);
  uint32_t add_real(double value);
  uint32_t add_span(PickleKind kind, std::string_view in_source);
  uint32_t add_derived(PickleKind kind, std::string_view bytes);
  uint32_t add_long(std::string_view little_endian);
  uint32_t add_decimal(std::string_view digits);
  uint32_t add_tuple(const uint32_t* first, size_t count);
  uint32_t add_text(std::string_view bytes);
  uint32_t add_old_text(std::string_view bytes);
  uint32_t add_dict(DictFlavour flavour);
  uint32_t add_copy(PickleKind kind, uint32_t iterable);
  uint32_t add_placeholder(uint32_t global);
  /// Counts what is made beyond the bytes of the file, so that a short pickle cannot fill the memory.
  void charge(uint64_t items);
  std::vector<uint32_t>& items_of(uint32_t container);
  void set_item(uint32_t dict, uint32_t key, uint32_t value);
  bool hashable(uint32_t key, bool inside_tuple = false) const;
  // stack
  void push(uint32_t node) { stack_.push_back(node); }
  uint32_t pop(const char* opcode);
  uint32_t top(const char* opcode) const;
  size_t pop_mark(const char* opcode);
  void memo_put(uint64_t number);
  void memo_get(uint64_t number);
  // what stands for functions and classes (pickle_calls.cpp)
  void push_global(std::string_view module, std::string_view name);
  void reduce();
  void new_object();
  void build();
  void persistent_id();
  uint32_t call(PickleGlobal function, uint32_t callable, uint32_t arguments);
  uint32_t rebuild_tensor(PickleGlobal function, uint32_t arguments);
  uint32_t numpy_scalar(uint32_t arguments);
  uint32_t encode(uint32_t arguments);
  void merge_attributes(uint32_t object, uint32_t state);
  const PickleNode& node(uint32_t i) const { return tree_.nodes[i]; }
  std::string name_of(uint32_t callable) const { return tree_.names[node(callable).extra].name; }

  std::string_view source_;
  PickleOptions options_;
  PickleTree tree_;
  size_t at_ = 0;
  uint64_t charged_ = 0, limit_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, uint32_t> memo_;
  bool stopped_ = false;
};

/// The decimal digits of a two's complement number of up to 1024 bytes.
std::string decimal_of(std::string_view little_endian);

}  // namespace vlm
