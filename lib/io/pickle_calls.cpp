/// The functions and classes that a checkpoint may name, as ways of putting plain data together.

#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/pickle_machine.h"

namespace vlm {

namespace pickle_calls {

struct Known {
  const char* module;
  const char* name;
  PickleGlobal global;
};
constexpr Known known[] = {
    {"collections", "OrderedDict", PickleGlobal::ordered_dict},
    {"torch._utils", "_rebuild_tensor", PickleGlobal::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::rebuild_tensor_v2},
    {"torch._utils", "_rebuild_tensor_v3", PickleGlobal::rebuild_tensor_v3},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", PickleGlobal::rebuild_parameter},
    {"torch", "Size", PickleGlobal::size},
    {"torch", "device", PickleGlobal::device},
    {"argparse", "Namespace", PickleGlobal::attributes},
    {"_codecs", "encode", PickleGlobal::encode},
    {"numpy.core.multiarray", "scalar", PickleGlobal::numpy_scalar},
    {"numpy._core.multiarray", "scalar", PickleGlobal::numpy_scalar},
    {"numpy", "dtype", PickleGlobal::numpy_dtype},
};
constexpr Known builtins[] = {
    {"", "set", PickleGlobal::set},         {"", "frozenset", PickleGlobal::frozenset},
    {"", "list", PickleGlobal::list},       {"", "dict", PickleGlobal::dict},
    {"", "tuple", PickleGlobal::tuple},     {"", "bytearray", PickleGlobal::bytearray},
    {"", "complex", PickleGlobal::complex},
};
constexpr const char* script_functions[] = {"build_intlist", "build_doublelist", "build_boollist", "build_tensorlist",
                                            "restore_type_tag"};

std::string latin1(std::string_view utf8) {
  std::string out;
  for (size_t i = 0; i < utf8.size(); ++i) {
    const auto c = static_cast<unsigned char>(utf8[i]);
    if (c < 0x80) {
      out += utf8[i];
    } else if ((c == 0xC2 || c == 0xC3) && i + 1 < utf8.size()) {
      out += static_cast<char>(c << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3F));
    } else {
      fail("a text that Latin-1 cannot hold");
    }
  }
  return out;
}

}  // namespace pickle_calls

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  using namespace pickle_calls;
  PickleName entry{concat(module, ".", name), -1};
  PickleGlobal global = PickleGlobal::unknown;
  for (const Known& k : known) {
    if (module == k.module && name == k.name) global = k.global;
  }
  if (module == "builtins" || module == "__builtin__") {
    for (const Known& k : builtins) {
      if (name == k.name) global = k.global;
    }
  }
  if (module == "torch" || module == "torch.storage") {
    const auto& dtypes = torch_dtypes();
    for (size_t i = 0; i < dtypes.size(); ++i) {
      if (module == "torch" && dtypes[i].storage && name == dtypes[i].storage)
        global = PickleGlobal::storage_type, entry.dtype = static_cast<int>(i);
      if (module == "torch" && name == dtypes[i].name) {
        const uint32_t value = add(PickleKind::dtype);
        tree_.nodes[value].extra = static_cast<uint32_t>(i);
        return push(value);
      }
    }
    if (name == "UntypedStorage") global = PickleGlobal::storage_type;
  }
  if (options_.torchscript) {
    if (module == "__torch__" || starts_with(module, "__torch__.")) global = PickleGlobal::script_class;
    for (const char* function : script_functions) {
      if (module == "torch.jit._pickle" && name == function) global = PickleGlobal::first_argument;
    }
  }
  if (global == PickleGlobal::unknown && !options_.allow_unknown_globals) {
    fail("unsupported global `", entry.name.substr(0, 200),
         "`: checkpoints are read as plain data, and nothing in them is run");
  }
  const uint32_t i = add(PickleKind::global);
  tree_.nodes[i].flavour = static_cast<uint8_t>(global);
  tree_.nodes[i].extra = static_cast<uint32_t>(tree_.names.size());
  charge(entry.name.size() / 16 + 4);
  tree_.names.push_back(std::move(entry));
  push(i);
}

uint32_t PickleMachine::add_placeholder(uint32_t callable) {
  const uint32_t i = add(PickleKind::placeholder);
  tree_.nodes[i].extra = node(callable).extra;
  return i;
}

/// A new container with the items of a list, tuple or set; for a dict those are pairs.
uint32_t PickleMachine::add_copy(PickleKind kind, uint32_t iterable) {
  const PickleNode from = node(iterable);
  const bool dict = kind == PickleKind::dict;
  const bool fits = from.kind == PickleKind::tuple || from.kind == PickleKind::list || from.kind == PickleKind::set ||
                    (dict && from.kind == PickleKind::dict);
  if (!fits) fail("a container is made of what is none");
  const size_t count = tree_.size(from);
  charge(count);
  std::vector<uint32_t> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) values.push_back(tree_.item(from, i));
  if (kind == PickleKind::tuple) return add_tuple(values.data(), values.size());
  const uint32_t out = add(kind);
  if (dict && from.kind != PickleKind::dict) {
    for (const uint32_t pair : values) {
      const PickleNode entry = node(pair);
      if ((entry.kind != PickleKind::tuple && entry.kind != PickleKind::list) || tree_.size(entry) != 2)
        fail("a dict is made of what are no pairs");
      set_item(out, tree_.item(entry, 0), tree_.item(entry, 1));
    }
  } else if (!values.empty()) {
    items_of(out) = std::move(values);
  }
  return out;
}

void PickleMachine::reduce() {
  const uint32_t arguments = pop("REDUCE"), callable = pop("REDUCE");
  if (node(callable).kind == PickleKind::placeholder) return push(callable);
  if (node(callable).kind != PickleKind::global) fail("REDUCE on what is no function");
  if (node(arguments).kind != PickleKind::tuple) fail("REDUCE without a tuple of arguments");
  push(with_context(name_of(callable),
                    [&] { return call(static_cast<PickleGlobal>(node(callable).flavour), callable, arguments); }));
}

uint32_t PickleMachine::call(PickleGlobal function, uint32_t callable, uint32_t arguments) {
  const PickleNode tuple = node(arguments);
  const size_t count = tree_.size(tuple);
  const auto argument = [&](size_t i) { return tree_.item(tuple, i); };
  const auto expect = [&](size_t least, size_t most) {
    if (count < least || count > most) fail("called with ", count, " arguments");
  };
  const auto text = [&](size_t i) {
    if (node(argument(i)).kind != PickleKind::string) fail("argument ", i, " is no text");
    return tree_.text(node(argument(i)));
  };
  const auto container = [&](PickleKind kind) {
    expect(0, 1);
    return count == 0 ? add(kind) : add_copy(kind, argument(0));
  };
  switch (function) {
    case PickleGlobal::ordered_dict:
    case PickleGlobal::dict: {
      const uint32_t out = container(PickleKind::dict);
      if (function == PickleGlobal::ordered_dict) tree_.nodes[out].flavour = static_cast<uint8_t>(DictFlavour::ordered);
      return out;
    }
    case PickleGlobal::attributes: expect(0, 0); return add_dict(DictFlavour::attributes);
    case PickleGlobal::set:
    case PickleGlobal::frozenset: return container(PickleKind::set);
    case PickleGlobal::list: return container(PickleKind::list);
    case PickleGlobal::tuple: return count == 0 ? add_tuple(nullptr, 0) : container(PickleKind::tuple);
    case PickleGlobal::size: expect(1, 1); return add_copy(PickleKind::list, argument(0));
    case PickleGlobal::device: {
      expect(1, 2);
      std::string name(text(0));
      if (count == 2) {
        if (node(argument(1)).kind != PickleKind::integer) fail("the device's number is none");
        name += concat(":", node(argument(1)).integer);
      }
      return add_derived(PickleKind::string, name);
    }
    case PickleGlobal::bytearray: {
      expect(0, 2);
      if (count == 0) return add_derived(PickleKind::bytes, "");
      if (count == 2) return encode(arguments);
      if (node(argument(0)).kind != PickleKind::bytes) fail("made of what are no bytes");
      return argument(0);
    }
    case PickleGlobal::encode: return encode(arguments);
    case PickleGlobal::complex: {
      expect(2, 2);
      double parts[2];
      for (size_t i = 0; i < 2; ++i) {
        const PickleNode& part = node(argument(i));
        if (part.kind != PickleKind::real && part.kind != PickleKind::integer) fail("made of what are no numbers");
        parts[i] = part.kind == PickleKind::real ? part.real : static_cast<double>(part.integer);
      }
      const uint32_t values[] = {add_real(parts[0]), add_real(parts[1])};
      const uint32_t out = add_tuple(values, 2);
      tree_.nodes[out].kind = PickleKind::complex;
      return out;
    }
    case PickleGlobal::numpy_dtype: {
      expect(1, 3);
      const std::string_view name = text(0);
      const uint32_t out = add(PickleKind::numpy_dtype);
      tree_.nodes[out].span = {static_cast<uint32_t>(tree_.derived.size()), static_cast<uint32_t>(name.size())};
      charge(name.size() / 8 + 1);
      tree_.nodes[out].flavour = 1;
      tree_.derived += std::string(name);
      return out;
    }
    case PickleGlobal::numpy_scalar: return numpy_scalar(arguments);
    case PickleGlobal::rebuild_tensor:
    case PickleGlobal::rebuild_tensor_v2:
    case PickleGlobal::rebuild_tensor_v3: return rebuild_tensor(function, arguments);
    case PickleGlobal::rebuild_parameter:
      expect(3, 4);
      if (node(argument(0)).kind != PickleKind::tensor) fail("made of what is no tensor");
      return argument(0);
    case PickleGlobal::first_argument: expect(1, 2); return argument(0);
    case PickleGlobal::unknown: return add_placeholder(callable);
    case PickleGlobal::storage_type:
    case PickleGlobal::script_class: break;
  }
  fail("this class is not made by REDUCE in a checkpoint");
}

uint32_t PickleMachine::rebuild_tensor(PickleGlobal function, uint32_t arguments) {
  const PickleNode tuple = node(arguments);
  const size_t count = tree_.size(tuple);
  const size_t least = function == PickleGlobal::rebuild_tensor ? 4 : function == PickleGlobal::rebuild_tensor_v2 ? 6 : 7;
  const size_t most = function == PickleGlobal::rebuild_tensor ? 4 : least + 1;
  if (count < least || count > most) fail("called with ", count, " arguments");
  PickleTensor tensor;
  tensor.storage = tree_.item(tuple, 0);
  tensor.offset = tree_.item(tuple, 1);
  tensor.size = tree_.item(tuple, 2);
  tensor.stride = tree_.item(tuple, 3);
  if (node(tensor.storage).kind != PickleKind::storage) fail("the first argument is no storage");
  if (function == PickleGlobal::rebuild_tensor_v3) {
    const PickleNode& dtype = node(tree_.item(tuple, 6));
    if (dtype.kind != PickleKind::dtype) fail("the argument dtype is none");
    tensor.dtype = static_cast<int>(dtype.extra);
  }
  if (count == most && most > 4) {
    // {"conj": bool, "neg": bool}: numbers that are stored without a sign that they should have.
    const PickleNode& metadata = node(tree_.item(tuple, most - 1));
    for (size_t i = 1; metadata.kind == PickleKind::dict && i < tree_.size(metadata); i += 2) {
      const PickleNode& value = node(tree_.item(metadata, i));
      if (value.kind == PickleKind::boolean && value.integer) fail("lazily conjugated or negated tensors are not supported");
    }
  }
  const uint32_t out = add(PickleKind::tensor);
  tree_.nodes[out].extra = static_cast<uint32_t>(tree_.tensors.size());
  tree_.tensors.push_back(tensor);
  return out;
}

uint32_t PickleMachine::encode(uint32_t arguments) {
  const PickleNode tuple = node(arguments);
  if (tree_.size(tuple) != 2) fail("called with ", tree_.size(tuple), " arguments");
  const PickleNode text = node(tree_.item(tuple, 0)), codec = node(tree_.item(tuple, 1));
  if (text.kind != PickleKind::string || codec.kind != PickleKind::string)
    fail("called without a text and the name of its encoding");
  const std::string name = ascii_lower(tree_.text(codec));
  if (name == "latin1" || name == "latin-1" || name == "iso-8859-1") {
    charge(text.span.size / 8);
    return add_derived(PickleKind::bytes, pickle_calls::latin1(tree_.text(text)));
  }
  fail("the encoding '", name.substr(0, 40), "' is not supported");
}

uint32_t PickleMachine::numpy_scalar(uint32_t arguments) {
  const PickleNode tuple = node(arguments);
  if (tree_.size(tuple) != 2) fail("called with ", tree_.size(tuple), " arguments");
  const PickleNode dtype = node(tree_.item(tuple, 0)), value = node(tree_.item(tuple, 1));
  if (dtype.kind != PickleKind::numpy_dtype) fail("the first argument is no numpy.dtype");
  // Python 2 wrote raw bytes as what may be taken for a text.
  if (value.kind != PickleKind::bytes && value.kind != PickleKind::string) fail("the second argument holds no bytes");
  std::string code(tree_.text(dtype));
  const std::string bytes(tree_.text(value));
  const bool big_endian = dtype.extra == 1 || starts_with(code, ">");
  if (!code.empty() && std::string_view("<>=|").find(code[0]) != std::string_view::npos) code.erase(0, 1);
  if (code == "b1" || code == "?") code = "u1?";
  const std::string size_text = code.substr(std::min<size_t>(1, code.size()), 1);
  const size_t size = size_text.empty() ? 0 : static_cast<size_t>(size_text[0] - '0');
  const bool fits =
      code.size() >= 2 && (code.size() == 2 || code == "u1?") &&
      (code[0] == 'f' ? size == 2 || size == 4 || size == 8
                      : (code[0] == 'i' || code[0] == 'u') && (size == 1 || size == 2 || size == 4 || size == 8));
  if (!fits) fail("numbers of NumPy's type '", code.substr(0, 40), "' are not supported");
  if (bytes.size() != size) fail("a number of ", size, " bytes is given by ", bytes.size());
  uint64_t bits = 0;
  for (size_t i = 0; i < size; ++i) bits = bits << 8 | static_cast<unsigned char>(bytes[big_endian ? i : size - 1 - i]);
  if (code == "u1?") {
    const uint32_t out = add(PickleKind::boolean);
    tree_.nodes[out].integer = bits != 0;
    return out;
  }
  if (code[0] == 'f') {
    if (size == 2) return add_real(static_cast<double>(c10::Half(static_cast<uint16_t>(bits), c10::Half::from_bits())));
    double number = 0;
    if (size == 8) std::memcpy(&number, &bits, 8);
    if (size == 4) {
      const auto narrow = static_cast<uint32_t>(bits);
      float single = 0;
      std::memcpy(&single, &narrow, 4);
      number = single;
    }
    return add_real(number);
  }
  if (code[0] == 'u' && size == 8 && bits > uint64_t(INT64_MAX))
    return add_derived(PickleKind::big_integer, std::to_string(bits));
  if (code[0] == 'i' && size < 8 && bits >> (8 * size - 1)) bits |= ~uint64_t(0) << (8 * size);
  return add_integer(static_cast<int64_t>(bits));
}

void PickleMachine::new_object() {
  const uint32_t arguments = pop("NEWOBJ"), callable = pop("NEWOBJ");
  if (node(callable).kind != PickleKind::global) fail("NEWOBJ on what is no class");
  if (node(arguments).kind != PickleKind::tuple) fail("NEWOBJ without a tuple of arguments");
  const auto global = static_cast<PickleGlobal>(node(callable).flavour);
  if (global == PickleGlobal::unknown) return push(add_placeholder(callable));
  const bool empty = tree_.size(node(arguments)) == 0;
  if (empty && global == PickleGlobal::ordered_dict) return push(add_dict(DictFlavour::ordered));
  if (empty && global == PickleGlobal::attributes) return push(add_dict(DictFlavour::attributes));
  if (empty && global == PickleGlobal::script_class) return push(add_dict(DictFlavour::script_module));
  fail("NEWOBJ on `", name_of(callable), "` is refused");
}

void PickleMachine::merge_attributes(uint32_t object, uint32_t state) {
  if (node(state).kind != PickleKind::dict) fail("BUILD with a state that is no dict");
  if (object == state) fail("an object is its own state");
  const size_t count = tree_.size(node(state));
  charge(count);
  for (size_t i = 0; i < count; i += 2) {
    const uint32_t key = tree_.item(node(state), i), value = tree_.item(node(state), i + 1);
    set_item(object, key, value);
  }
}

void PickleMachine::build() {
  const uint32_t state = pop("BUILD"), object = top("BUILD");
  const PickleNode target = node(object);
  if (target.kind == PickleKind::placeholder) return;
  if (target.kind == PickleKind::numpy_dtype) {
    // (version, byte order, …)
    const PickleNode tuple = node(state);
    if (tuple.kind != PickleKind::tuple || tree_.size(tuple) < 2 || node(tree_.item(tuple, 1)).kind != PickleKind::string) {
      fail("BUILD of a numpy.dtype with a state that is none");
    }
    if (tree_.text(node(tree_.item(tuple, 1))) == ">") tree_.nodes[object].extra = 1;
    return;
  }
  if (target.kind == PickleKind::dict) {
    const auto flavour = static_cast<DictFlavour>(target.flavour);
    // Attributes of an OrderedDict, such as _metadata, say nothing about its entries.
    if (flavour == DictFlavour::ordered) return;
    if (flavour != DictFlavour::plain) return merge_attributes(object, state);
  }
  if (target.kind == PickleKind::global) fail("BUILD on `", name_of(object), "` is refused");
  fail("BUILD on a plain value is refused");
}

void PickleMachine::persistent_id() {
  const uint32_t id = pop("BINPERSID");
  const PickleNode tuple = node(id);
  const size_t count = tree_.size(tuple);
  if (tuple.kind != PickleKind::tuple) fail("a persistent id that is no tuple");
  const auto part = [&](size_t i) { return node(tree_.item(tuple, i)); };
  if (count > 0 && part(0).kind == PickleKind::string && tree_.text(part(0)) == "module") {
    fail("the checkpoint holds a whole module, code included; save its state_dict instead");
  }
  if ((count != 5 && count != 6) || part(0).kind != PickleKind::string || tree_.text(part(0)) != "storage")
    fail("a persistent id that names no storage");
  if (part(1).kind != PickleKind::global || static_cast<PickleGlobal>(part(1).flavour) != PickleGlobal::storage_type) {
    fail("a storage whose type is no class of PyTorch");
  }
  PickleStorage storage;
  storage.dtype = tree_.names[part(1).extra].dtype;
  if (part(2).kind != PickleKind::string) fail("a storage whose key is no text");
  storage.key = tree_.text(part(2)).substr(0, 40);
  if (storage.key.empty() || storage.key.size() > 24 || storage.key.find_first_not_of("0123456789") != std::string::npos) {
    fail("a storage with the key '", storage.key, "', which is no decimal number");
  }
  if (part(4).kind != PickleKind::integer || part(4).integer < 0)
    fail("storage '", storage.key, "': its size is no whole number of elements");
  storage.numel = storage.view_numel = part(4).integer;
  if (count == 6 && part(5).kind != PickleKind::none) {
    // (key of the view, offset, size): a storage that is part of another one
    const PickleNode view = part(5);
    if (view.kind != PickleKind::tuple || tree_.size(view) != 3) fail("storage '", storage.key, "': a view that is none");
    const PickleNode offset = node(tree_.item(view, 1)), size = node(tree_.item(view, 2));
    if (offset.kind != PickleKind::integer || size.kind != PickleKind::integer || offset.integer < 0 || size.integer < 0 ||
        offset.integer > storage.numel || size.integer > storage.numel - offset.integer) {
      fail("storage '", storage.key, "': a view that reaches past it");
    }
    storage.view_offset = offset.integer;
    storage.view_numel = size.integer;
  }
  charge(4);
  const uint32_t out = add(PickleKind::storage);
  tree_.nodes[out].extra = static_cast<uint32_t>(tree_.storages.size());
  tree_.storages.push_back(std::move(storage));
  push(out);
}

}  // namespace vlm
