#include "vlm/io/torch_writer.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <ostream>

#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/pickle_tree.h"

namespace vlm {

namespace torch_writer {

using Json = nlohmann::ordered_json;

std::string little(uint64_t value, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

/// Opcodes of pickle protocol 2 that leave values on the stack.
class Pickle {
 public:
  void text(const std::string& value) { out_ += "X" + little(value.size(), 4) + value; }

  void whole(int64_t value) {
    if (value >= 0 && value < 256) {
      out_ += "K" + little(static_cast<uint64_t>(value), 1);
    } else {
      out_ += "\x8a\x08" + little(static_cast<uint64_t>(value), 8);
    }
  }

  void real(double value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    out_ += "G";
    for (size_t i = 8; i-- > 0;) out_ += static_cast<char>(bits >> (8 * i));  // the one value that pickles hold in the other order
  }

  void plain(const Json& value) {
    switch (value.type()) {
      case Json::value_t::boolean: out_ += value.get<bool>() ? "\x88" : "\x89"; return;
      case Json::value_t::number_integer:
      case Json::value_t::number_unsigned: return whole(value.get<int64_t>());
      case Json::value_t::number_float: return real(value.get<double>());
      case Json::value_t::string: return text(value.get_ref<const std::string&>());
      case Json::value_t::array:
        out_ += "](";
        for (const auto& item : value) plain(item);
        out_ += "e";
        return;
      case Json::value_t::object: return dict(value);
      default: out_ += "N";
    }
  }

  void dict(const Json& object) {
    out_ += "}(";
    for (const auto& [key, value] : object.items()) {
      text(key);
      plain(value);
    }
    out_ += "u";
  }

  void name_space(const Json& object) {
    out_ += "cargparse\nNamespace\n)\x81";
    dict(object);
    out_ += "b";
  }

  void tensors(const TensorMap& map) {
    out_ += "ccollections\nOrderedDict\n)R(";
    for (const auto& [name, tensor] : map) {
      text(name);
      add(tensor);
    }
    out_ += "u";
  }

  void raw(const std::string& opcodes) { out_ += opcodes; }
  const std::string& opcodes() const { return out_; }
  const std::vector<Tensor>& storages() const { return storages_; }

 private:
  void numbers(at::IntArrayRef values) {
    out_ += "(";
    for (const int64_t value : values) whole(value);
    out_ += "t";
  }

  void add(const Tensor& given) {
    const TorchDType* type = nullptr;
    for (const auto& known : torch_dtypes()) {
      if (known.type == given.scalar_type() && known.storage != nullptr) type = &known;
    }
    if (type == nullptr) fail("a tensor of type ", c10::toString(given.scalar_type()), " has no place in a checkpoint of PyTorch");
    const Tensor tensor = given.detach().cpu().contiguous();
    const auto memory = std::make_pair(tensor.const_data_ptr(), tensor.nbytes());
    const auto [place, fresh] = numbers_.emplace(memory, storages_.size());
    if (fresh || tensor.nbytes() == 0) {
      place->second = storages_.size();
      storages_.push_back(tensor);
    }
    out_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    text("storage");
    out_ += concat("ctorch\n", type->storage, "\n");
    text(std::to_string(place->second));
    text("cpu");
    whole(tensor.numel());
    out_ += "tQK";
    out_ += '\0';
    numbers(tensor.sizes());
    numbers(tensor.strides());
    out_ += "\x89" "ccollections\nOrderedDict\n)RtR";
  }

  std::string out_;
  std::vector<Tensor> storages_;
  std::map<std::pair<const void*, size_t>, size_t> numbers_;
};

/// An archive of stored entries, each of which begins at a multiple of 64, as PyTorch's do.
class Zip {
 public:
  explicit Zip(std::ostream& out) : out_(out) {}

  void add(const std::string& name, const char* bytes, size_t size) {
    // zlib counts in 32 bits.
    uLong crc = crc32(0, nullptr, 0);
    for (size_t at = 0; at < size; at += 1u << 30) {
      crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes) + at, static_cast<uInt>(std::min<size_t>(size - at, 1u << 30)));
    }
    check(at_ + size + 4096);
    const std::string common = little(0, 2) + little(0, 2) + little(0x21 << 16, 4) + little(crc, 4) + little(size, 4) + little(size, 4) + little(name.size(), 2);
    const size_t padding = (64 - (at_ + 34 + name.size()) % 64) % 64;
    directory_ += "PK\x01\x02" + little(20, 2) + little(20, 2) + common + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                  little(at_, 4) + name;
    ++count_;
    put("PK\x03\x04" + little(20, 2) + common + little(padding + 4, 2) + name + "FB" + little(padding, 2) + std::string(padding, 'Z'));
    out_.write(bytes, static_cast<std::streamsize>(size));
    at_ += size;
  }

  void finish() {
    check(at_ + directory_.size() + 22);
    if (count_ > 65534) fail("more than 65534 tensors");
    put(directory_ + "PK\x05\x06" + little(0, 4) + little(count_, 2) + little(count_, 2) + little(directory_.size(), 4) + little(at_, 4) + little(0, 2));
  }

 private:
  static void check(uint64_t size) {
    if (size > 0xfffffffful) fail("a checkpoint of PyTorch of more than 4 GiB is not written here; safetensors files can be larger");
  }
  void put(const std::string& bytes) {
    out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    at_ += bytes.size();
  }

  std::ostream& out_;
  uint64_t at_ = 0, count_ = 0;
  std::string directory_;
};

void write(const std::filesystem::path& file, const Pickle& pickle) {
  with_context(file.string(), [&] {
    write_file_atomically(file, [&](std::ostream& out) {
      Zip zip(out);
      const std::string object = "\x80\x02" + pickle.opcodes() + ".";
      zip.add("archive/data.pkl", object.data(), object.size());
      zip.add("archive/byteorder", "little", 6);
      for (size_t i = 0; i < pickle.storages().size(); ++i) {
        const Tensor& tensor = pickle.storages()[i];
        zip.add(concat("archive/data/", i), static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
      }
      zip.add("archive/version", "3\n", 2);
      zip.finish();
    });
  });
}

}  // namespace torch_writer

void write_torch_checkpoint(const std::filesystem::path& file, const std::vector<TorchEntry>& entries) {
  torch_writer::Pickle pickle;
  pickle.raw("}(");
  for (const auto& entry : entries) {
    pickle.text(entry.key);
    if (!entry.parts.empty()) {
      pickle.raw("}(");
      for (const auto& [name, tensors] : entry.parts) {
        pickle.text(name);
        pickle.tensors(tensors);
      }
      pickle.raw("u");
    } else if (!entry.tensors.empty()) {
      pickle.tensors(entry.tensors);
    } else if (entry.is_namespace) {
      pickle.name_space(entry.plain);
    } else {
      pickle.plain(entry.plain);
    }
  }
  pickle.raw("u");
  torch_writer::write(file, pickle);
}

}  // namespace vlm
