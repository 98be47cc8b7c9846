#include "vlm/io/pickle_machine.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace pickle_machine {

constexpr size_t max_source = size_t(1) << 30;
constexpr size_t max_long = 1024, max_line = 4096;
constexpr uint32_t node_none = 0, node_true = 1, node_false = 2, node_empty_tuple = 3;

struct Refused {
  unsigned char opcode;
  const char* name;
};
constexpr Refused refused[] = {{'i', "INST"},   {'o', "OBJ"},          {0x82, "EXT1"},
                               {0x83, "EXT2"},  {0x84, "EXT4"},        {0x92, "NEWOBJ_EX"},
                               {'P', "PERSID"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"}};

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool hex_value(std::string_view digits, uint32_t& value) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return error == std::errc() && end == digits.data() + digits.size();
}

/// Python's raw-unicode-escape: Latin-1 bytes, with \uXXXX and \UXXXXXXXX for the rest.
std::string raw_unicode(std::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool escape = line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U');
    if (!escape) {
      append_utf8(out, static_cast<unsigned char>(line[i]));
      continue;
    }
    const size_t digits = line[i + 1] == 'u' ? 4 : 8;
    uint32_t c = 0;
    if (i + 2 + digits > line.size() || !hex_value(line.substr(i + 2, digits), c) || c > 0x10FFFF ||
        (c >= 0xD800 && c < 0xE000)) {
      fail("a text with a wrong \\u escape");
    }
    append_utf8(out, c);
    i += 1 + digits;
  }
  return out;
}

/// A Python 2 string literal: quotes around it and the usual escapes.
std::string unquoted(std::string_view line) {
  if (line.size() < 2 || line.front() != line.back() || (line.front() != '\'' && line.front() != '"'))
    fail("a text without its quotes");
  line = line.substr(1, line.size() - 2);
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out += line[i];
      continue;
    }
    if (++i == line.size()) fail("a text that ends in an escape");
    uint32_t c = 0;
    switch (line[i]) {
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case '\\':
      case '\'':
      case '"': out += line[i]; break;
      case 'x':
        if (i + 2 >= line.size() || !hex_value(line.substr(i + 1, 2), c)) fail("a text with a wrong \\x escape");
        out += static_cast<char>(c);
        i += 2;
        break;
      default: fail("a text with the unknown escape \\", line[i]);
    }
  }
  return out;
}

}  // namespace pickle_machine

const std::vector<TorchDType>& torch_dtypes() {
  using enum c10::ScalarType;
  static const std::vector<TorchDType> table = {
      {"float32", "FloatStorage", Float},    {"float64", "DoubleStorage", Double},
      {"float16", "HalfStorage", Half},      {"bfloat16", "BFloat16Storage", BFloat16},
      {"int64", "LongStorage", Long},        {"int32", "IntStorage", Int},
      {"int16", "ShortStorage", Short},      {"int8", "CharStorage", Char},
      {"uint8", "ByteStorage", Byte},        {"bool", "BoolStorage", Bool},
      {"uint16", nullptr, UInt16},           {"uint32", nullptr, UInt32},
      {"uint64", nullptr, UInt64},           {"float8_e4m3fn", nullptr, Float8_e4m3fn},
      {"float8_e5m2", nullptr, Float8_e5m2}, {"complex64", nullptr, ComplexFloat},
      {"complex128", nullptr, ComplexDouble}};
  return table;
}

std::string decimal_of(std::string_view little_endian) {
  if (little_endian.size() > pickle_machine::max_long)
    fail("a whole number of ", little_endian.size(), " bytes; at most ", pickle_machine::max_long, " are read");
  std::vector<uint8_t> bytes(little_endian.begin(), little_endian.end());
  const bool negative = !bytes.empty() && bytes.back() >= 0x80;
  if (negative) {
    unsigned carry = 1;
    for (auto& byte : bytes) {
      const unsigned flipped = static_cast<uint8_t>(~byte) + carry;
      byte = static_cast<uint8_t>(flipped);
      carry = flipped >> 8;
    }
  }
  std::string digits;
  while (!bytes.empty()) {
    unsigned rest = 0;
    for (size_t i = bytes.size(); i-- > 0;) {
      const unsigned value = rest << 8 | bytes[i];
      bytes[i] = static_cast<uint8_t>(value / 10);
      rest = value % 10;
    }
    digits += static_cast<char>('0' + rest);
    while (!bytes.empty() && bytes.back() == 0) bytes.pop_back();
  }
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  if (digits.empty()) digits = "0";
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

PickleMachine::PickleMachine(std::string_view source, const PickleOptions& options)
    : source_(source.substr(0, pickle_machine::max_source)),
      options_(options),
      limit_(std::max<uint64_t>(10'000'000, source_.size())) {
  tree_.source = source_;
  add(PickleKind::none);
  for (const int64_t value : {1, 0}) {
    const uint32_t i = add(PickleKind::boolean);
    tree_.nodes[i].integer = value;
  }
  add_tuple(nullptr, 0);
}

PickleTree PickleMachine::run() {
  while (!stopped_) {
    const size_t begin = at_;
    try {
      if (at_ == source_.size()) fail("the pickle ends without its STOP (an interrupted download?)");
      step(static_cast<unsigned char>(source_[at_++]));
    } catch (Error& error) {
      error.add_context(concat("pickle, byte ", begin));
      throw;
    }
  }
  return std::move(tree_);
}

std::string_view PickleMachine::take(uint64_t size, const char* what) {
  if (size > source_.size() - at_) fail(what, " of ", size, " bytes where ", source_.size() - at_, " are left");
  const std::string_view out = source_.substr(at_, size);
  at_ += size;
  return out;
}

template <class T>
T PickleMachine::number(const char* what) {
  const std::string_view bytes = take(sizeof(T), what);
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return static_cast<T>(value);
}

std::string_view PickleMachine::line(const char* what) {
  const size_t end = source_.substr(at_, pickle_machine::max_line + 1).find('\n');
  if (end == std::string_view::npos) fail(what, " without an end of line");
  const std::string_view out = source_.substr(at_, end);
  at_ += end + 1;
  return out;
}

void PickleMachine::charge(uint64_t items) {
  if (items > limit_ - charged_) fail("the pickle makes more objects than a checkpoint has");
  charged_ += items;
}

uint32_t PickleMachine::add(PickleKind kind) {
  if (tree_.nodes.size() >= limit_) fail("the pickle makes more than ", limit_, " objects");
  PickleNode node;
  node.kind = kind;
  tree_.nodes.push_back(node);
  return static_cast<uint32_t>(tree_.nodes.size() - 1);
}

uint32_t PickleMachine::add_integer(int64_t value) {
  const uint32_t i = add(PickleKind::integer);
  tree_.nodes[i].integer = value;
  return i;
}

uint32_t PickleMachine::add_real(double value) {
  const uint32_t i = add(PickleKind::real);
  tree_.nodes[i].real = value;
  return i;
}

uint32_t PickleMachine::add_span(PickleKind kind, std::string_view in_source) {
  const uint32_t i = add(kind);
  tree_.nodes[i].span = {static_cast<uint32_t>(in_source.data() - source_.data()), static_cast<uint32_t>(in_source.size())};
  return i;
}

uint32_t PickleMachine::add_derived(PickleKind kind, std::string_view bytes) {
  charge(bytes.size() / 8 + 1);
  if (tree_.derived.size() + bytes.size() > pickle_machine::max_source) fail("the pickle's texts need more than 1 GiB");
  const uint32_t i = add(kind);
  tree_.nodes[i].flavour = 1;
  tree_.nodes[i].span = {static_cast<uint32_t>(tree_.derived.size()), static_cast<uint32_t>(bytes.size())};
  tree_.derived += bytes;
  return i;
}

uint32_t PickleMachine::add_text(std::string_view bytes) {
  if (!valid_utf8(bytes)) fail("a text that is not valid UTF-8");
  return add_span(PickleKind::string, bytes);
}

/// Python 2 had one type for texts and bytes.
uint32_t PickleMachine::add_old_text(std::string_view bytes) {
  return add_span(valid_utf8(bytes) ? PickleKind::string : PickleKind::bytes, bytes);
}

uint32_t PickleMachine::add_long(std::string_view bytes) {
  if (bytes.size() > 8) return add_derived(PickleKind::big_integer, decimal_of(bytes));
  uint64_t value = !bytes.empty() && static_cast<unsigned char>(bytes.back()) >= 0x80 ? ~uint64_t(0) : 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return add_integer(static_cast<int64_t>(value));
}

uint32_t PickleMachine::add_decimal(std::string_view digits) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc() && end == digits.data() + digits.size()) return add_integer(value);
  const std::string_view plain = digits.substr(!digits.empty() && digits[0] == '-' ? 1 : 0);
  if (plain.empty() || plain.find_first_not_of("0123456789") != std::string_view::npos)
    fail("'", digits.substr(0, 40), "' is not a whole number");
  return add_derived(PickleKind::big_integer, digits);
}

uint32_t PickleMachine::add_tuple(const uint32_t* first, size_t count) {
  const uint32_t i = add(PickleKind::tuple);
  tree_.nodes[i].span = {static_cast<uint32_t>(tree_.tuple_items.size()), static_cast<uint32_t>(count)};
  tree_.tuple_items.insert(tree_.tuple_items.end(), first, first + count);
  return i;
}

uint32_t PickleMachine::add_dict(DictFlavour flavour) {
  const uint32_t i = add(PickleKind::dict);
  tree_.nodes[i].flavour = static_cast<uint8_t>(flavour);
  return i;
}

std::vector<uint32_t>& PickleMachine::items_of(uint32_t container) {
  PickleNode& node = tree_.nodes[container];
  if (node.extra == 0) {
    tree_.items.emplace_back();
    node.extra = static_cast<uint32_t>(tree_.items.size());
  }
  return tree_.items[node.extra - 1];
}

bool PickleMachine::hashable(uint32_t key, bool inside_tuple) const {
  const PickleNode& n = node(key);
  if (n.kind == PickleKind::tuple && !inside_tuple) {
    for (size_t i = 0; i < n.span.size; ++i) {
      if (!hashable(tree_.item(n, i), true)) return false;
    }
    return true;
  }
  return n.kind <= PickleKind::bytes || n.kind == PickleKind::dtype;
}

void PickleMachine::set_item(uint32_t dict, uint32_t key, uint32_t value) {
  if (node(dict).kind == PickleKind::placeholder) return;
  if (node(dict).kind != PickleKind::dict) fail("an entry for what is no dict");
  if (!hashable(key)) fail("a dict has a key that is neither a text nor a number");
  auto& items = items_of(dict);
  items.push_back(key);
  items.push_back(value);
}

uint32_t PickleMachine::top(const char* opcode) const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail(opcode, " finds nothing on the stack");
  return stack_.back();
}

uint32_t PickleMachine::pop(const char* opcode) {
  const uint32_t out = top(opcode);
  stack_.pop_back();
  return out;
}

/// The place on the stack where the items since the last MARK begin; the mark is taken away.
size_t PickleMachine::pop_mark(const char* opcode) {
  if (marks_.empty()) fail(opcode, " finds no MARK");
  const size_t begin = marks_.back();
  marks_.pop_back();
  return begin;
}

void PickleMachine::memo_put(uint64_t number) { memo_[number] = top("the memo"); }

void PickleMachine::memo_get(uint64_t number) {
  const auto it = memo_.find(number);
  if (it == memo_.end()) fail("the memo has no entry ", number);
  push(it->second);
}

void PickleMachine::step(unsigned char opcode) {
  using namespace pickle_machine;
  const auto since_mark = [&](const char* name, auto&& use) {
    const size_t begin = pop_mark(name);
    const uint32_t value = use(stack_.data() + begin, stack_.size() - begin);
    stack_.resize(begin);
    push(value);
  };
  const auto last = [&](const char* name, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (stack_.size() - i <= (marks_.empty() ? 0 : marks_.back())) fail(name, " finds too little on the stack");
    }
    const uint32_t tuple = add_tuple(stack_.data() + stack_.size() - count, count);
    stack_.resize(stack_.size() - count);
    push(tuple);
  };
  const auto append = [&](uint32_t list, PickleKind kind, const uint32_t* first, size_t count) {
    if (node(list).kind == PickleKind::placeholder) return;
    if (node(list).kind != kind) fail("items for what is no ", kind == PickleKind::list ? "list" : "set");
    if (count == 0) return;
    auto& items = items_of(list);
    items.insert(items.end(), first, first + count);
  };
  const auto set_items = [&](uint32_t dict, const uint32_t* first, size_t count) {
    if (count % 2 != 0) fail("a dict with a key that has no value");
    for (size_t i = 0; i < count; i += 2) set_item(dict, first[i], first[i + 1]);
  };
  const auto extend = [&](const char* name, auto&& use) {
    const size_t begin = pop_mark(name);
    const std::vector<uint32_t> given(stack_.begin() + static_cast<std::ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    use(top(name), given.data(), given.size());
  };

  switch (opcode) {
    case 0x80: {
      const auto protocol = number<uint8_t>("PROTO");
      if (protocol > 5) fail("protocol ", int(protocol), " of pickle is not known; there are 0 to 5");
      break;
    }
    case 0x95:
      if (const auto size = number<uint64_t>("FRAME"); size > source_.size() - at_)
        fail("a FRAME of ", size, " bytes where ", source_.size() - at_, " are left");
      break;
    case '.':
      tree_.root = pop("STOP");
      stopped_ = true;
      break;

    // the stack
    case '(': marks_.push_back(stack_.size()); break;
    case '0':
      // As Python has it, POP takes a MARK away where one is on top.
      if (!marks_.empty() && marks_.back() == stack_.size()) {
        marks_.pop_back();
      } else {
        pop("POP");
      }
      break;
    case '1': stack_.resize(pop_mark("POP_MARK")); break;
    case '2': push(top("DUP")); break;
    case 'q': memo_put(number<uint8_t>("BINPUT")); break;
    case 'r': memo_put(number<uint32_t>("LONG_BINPUT")); break;
    case 0x94: memo_put(memo_.size()); break;
    case 'h': memo_get(number<uint8_t>("BINGET")); break;
    case 'j': memo_get(number<uint32_t>("LONG_BINGET")); break;
    case 'p':
    case 'g': {
      const std::string_view digits = line("PUT or GET");
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc() || end != digits.data() + digits.size())
        fail("the memo's number '", digits.substr(0, 40), "' is none");
      if (opcode == 'p') {
        memo_put(value);
      } else {
        memo_get(value);
      }
      break;
    }

    // plain values
    case 'N': push(node_none); break;
    case 0x88: push(node_true); break;
    case 0x89: push(node_false); break;
    case 'J': push(add_integer(number<int32_t>("BININT"))); break;
    case 'K': push(add_integer(number<uint8_t>("BININT1"))); break;
    case 'M': push(add_integer(number<uint16_t>("BININT2"))); break;
    case 0x8a: push(add_long(take(number<uint8_t>("LONG1"), "LONG1"))); break;
    case 0x8b: {
      const auto size = number<uint32_t>("LONG4");
      push(add_long(take(size, "LONG4")));
      break;
    }
    case 'G': {
      const std::string_view bytes = take(8, "BINFLOAT");
      uint64_t bits = 0;
      for (const char c : bytes) bits = bits << 8 | static_cast<unsigned char>(c);
      push(add_real(std::bit_cast<double>(bits)));
      break;
    }
    case 'I': {
      const std::string_view digits = line("INT");
      push(digits == "01" ? node_true : digits == "00" ? node_false : add_decimal(digits));
      break;
    }
    case 'L': {
      std::string_view digits = line("LONG");
      if (ends_with(digits, "L")) digits.remove_suffix(1);
      push(add_decimal(digits));
      break;
    }
    case 'F': {
      const std::string_view digits = line("FLOAT");
      double value = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc() || end != digits.data() + digits.size()) fail("'", digits.substr(0, 40), "' is not a number");
      push(add_real(value));
      break;
    }
    case 'X': {
      const auto size = number<uint32_t>("BINUNICODE");
      push(add_text(take(size, "BINUNICODE")));
      break;
    }
    case 0x8c: {
      const auto size = number<uint8_t>("SHORT_BINUNICODE");
      push(add_text(take(size, "SHORT_BINUNICODE")));
      break;
    }
    case 0x8d: {
      const auto size = number<uint64_t>("BINUNICODE8");
      push(add_text(take(size, "BINUNICODE8")));
      break;
    }
    case 'U': {
      const auto size = number<uint8_t>("SHORT_BINSTRING");
      push(add_old_text(take(size, "SHORT_BINSTRING")));
      break;
    }
    case 'T': {
      const auto size = number<int32_t>("BINSTRING");
      if (size < 0) fail("BINSTRING with a negative length");
      push(add_old_text(take(static_cast<uint64_t>(size), "BINSTRING")));
      break;
    }
    case 'V': push(add_derived(PickleKind::string, raw_unicode(line("UNICODE")))); break;
    case 'S': {
      const std::string text = unquoted(line("STRING"));
      push(add_derived(valid_utf8(text) ? PickleKind::string : PickleKind::bytes, text));
      break;
    }
    case 'C': {
      const auto size = number<uint8_t>("SHORT_BINBYTES");
      push(add_span(PickleKind::bytes, take(size, "SHORT_BINBYTES")));
      break;
    }
    case 'B': {
      const auto size = number<uint32_t>("BINBYTES");
      push(add_span(PickleKind::bytes, take(size, "BINBYTES")));
      break;
    }
    case 0x8e: {
      const auto size = number<uint64_t>("BINBYTES8");
      push(add_span(PickleKind::bytes, take(size, "BINBYTES8")));
      break;
    }
    case 0x96: {
      const auto size = number<uint64_t>("BYTEARRAY8");
      push(add_span(PickleKind::bytes, take(size, "BYTEARRAY8")));
      break;
    }

    // containers
    case ')': push(node_empty_tuple); break;
    case 0x85: last("TUPLE1", 1); break;
    case 0x86: last("TUPLE2", 2); break;
    case 0x87: last("TUPLE3", 3); break;
    case 't': since_mark("TUPLE", [&](const uint32_t* first, size_t count) { return add_tuple(first, count); }); break;
    case ']': push(add(PickleKind::list)); break;
    case 'l':
      since_mark("LIST", [&](const uint32_t* first, size_t count) {
        const uint32_t list = add(PickleKind::list);
        append(list, PickleKind::list, first, count);
        return list;
      });
      break;
    case 'a': {
      const uint32_t value = pop("APPEND");
      append(top("APPEND"), PickleKind::list, &value, 1);
      break;
    }
    case 'e':
      extend("APPENDS",
             [&](uint32_t list, const uint32_t* first, size_t count) { append(list, PickleKind::list, first, count); });
      break;
    case '}': push(add_dict(DictFlavour::plain)); break;
    case 'd':
      since_mark("DICT", [&](const uint32_t* first, size_t count) {
        const uint32_t dict = add_dict(DictFlavour::plain);
        set_items(dict, first, count);
        return dict;
      });
      break;
    case 's': {
      const uint32_t value = pop("SETITEM"), key = pop("SETITEM");
      set_item(top("SETITEM"), key, value);
      break;
    }
    case 'u': extend("SETITEMS", set_items); break;
    case 0x8f: push(add(PickleKind::set)); break;
    case 0x90:
      extend("ADDITEMS",
             [&](uint32_t set, const uint32_t* first, size_t count) { append(set, PickleKind::set, first, count); });
      break;
    case 0x91:
      since_mark("FROZENSET", [&](const uint32_t* first, size_t count) {
        const uint32_t set = add(PickleKind::set);
        append(set, PickleKind::set, first, count);
        return set;
      });
      break;

    // what stands for functions and classes
    case 'c': {
      const std::string_view module = line("GLOBAL"), name = line("GLOBAL");
      push_global(module, name);
      break;
    }
    case 0x93: {
      const uint32_t name = pop("STACK_GLOBAL"), module = pop("STACK_GLOBAL");
      if (node(name).kind != PickleKind::string || node(module).kind != PickleKind::string)
        fail("STACK_GLOBAL without two texts");
      push_global(tree_.text(node(module)), tree_.text(node(name)));
      break;
    }
    case 'R': reduce(); break;
    case 0x81: new_object(); break;
    case 'b': build(); break;
    case 'Q': persistent_id(); break;

    default:
      for (const Refused& known : refused) {
        if (known.opcode == opcode) fail("the opcode ", known.name, " is refused: checkpoints do not need it");
      }
      fail("unknown opcode ", int(opcode), " (not a pickle, or damaged)");
  }
}

}  // namespace vlm
