#include "vlm/infer/faiss_file.h"

#include <faiss/Index.h>
#include <faiss/index_io.h>
#include <faiss/impl/io.h>

#include <algorithm>
#include <cstring>
#include <ostream>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/mapped_file.h"

namespace vlm {

namespace faiss_file {

constexpr int64_t max_width = 1 << 20;

struct Header {
  uint64_t width = 0, count = 0;
};

/// Goes through a file as faiss writes it (little-endian, without padding).
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }
  std::string_view four_letters() { return {take(4), 4}; }
  /// `count` elements of `size` bytes each.
  const char* skip(uint64_t count, uint64_t size) {
    if (count > left() / size) fail("it declares more than its ", bytes_.size(), " bytes hold");
    return take(count * size);
  }
  uint64_t left() const { return bytes_.size() - at_; }

 private:
  const char* take(uint64_t size) {
    if (size > left()) fail("it ends early, after ", bytes_.size(), " bytes");
    const char* const out = bytes_.data() + at_;
    at_ += size;
    return out;
  }
  std::string_view bytes_;
  uint64_t at_ = 0;
};

Header check_header(Walk& walk) {
  const auto width = walk.get<int32_t>();
  const auto count = walk.get<int64_t>();
  walk.skip(2, sizeof(int64_t));  // unused by faiss
  const auto trained = walk.get<uint8_t>();
  const auto metric = walk.get<int32_t>();
  if (width < 1 || width > max_width) fail("its vectors have ", width, " numbers");
  if (count < 0) fail("it declares ", count, " vectors");
  if (trained != 1) fail("it was never trained");
  if (metric != 0) fail("it does not compare by inner product");
  return {static_cast<uint64_t>(width), static_cast<uint64_t>(count)};
}

Header check_flat(Walk& walk) {
  const Header header = check_header(walk);
  const auto numbers = walk.get<uint64_t>();
  if (numbers / header.width != header.count || numbers % header.width != 0) {
    fail("it holds ", numbers, " numbers for ", header.count, " vectors of ", header.width);
  }
  walk.skip(numbers, sizeof(float));
  return header;
}

void check_lists(Walk& walk, const Header& header, uint64_t lists) {
  if (walk.four_letters() != "ilar") fail("its lists are of a kind that is not read here");
  const auto declared = walk.get<uint64_t>(), code_size = walk.get<uint64_t>();
  if (declared != lists || code_size != header.width * sizeof(float)) fail("its lists do not fit its vectors");
  const std::string_view form = walk.four_letters();
  std::vector<uint64_t> sizes(lists, 0);  // no more than the centroids, which were all there
  const auto entries = walk.get<uint64_t>();
  if (form == "full") {
    if (entries != lists) fail("it declares ", lists, " lists and the sizes of ", entries);
    for (auto& size : sizes) size = walk.get<uint64_t>();
  } else if (form == "sprs") {
    if (entries % 2 != 0 || entries / 2 > lists) fail("it declares ", lists, " lists and ", entries, " numbers about them");
    for (uint64_t i = 0; i < entries / 2; ++i) {
      const auto list = walk.get<uint64_t>(), size = walk.get<uint64_t>();
      if (list >= lists) fail("there is no list ", list);
      sizes[list] = size;
    }
  } else {
    fail("its lists are written in a way that is not read here");
  }
  uint64_t total = 0;
  for (const uint64_t size : sizes) {
    walk.skip(size, code_size);
    const char* const ids = walk.skip(size, sizeof(int64_t));
    for (uint64_t i = 0; i < size; ++i) {
      int64_t id;
      std::memcpy(&id, ids + i * sizeof id, sizeof id);
      if (id < 0 || static_cast<uint64_t>(id) >= header.count) fail("a list names vector ", id, " of ", header.count);
    }
    total += size;
  }
  if (total != header.count) fail("its lists hold ", total, " vectors of ", header.count);
}

void check_ivf(Walk& walk) {
  const Header header = check_header(walk);
  const auto lists = walk.get<uint64_t>();
  walk.get<uint64_t>();  // lists looked into: decided anew for every search
  if (walk.four_letters() != "IxFI") fail("its centroids are of a kind that is not read here");
  const Header centroids = check_flat(walk);
  if (centroids.count != lists || centroids.width != header.width || lists == 0) fail("its centroids do not fit its lists");
  if (walk.get<uint8_t>() != 0 || walk.get<uint64_t>() != 0) fail("it has a map from vectors to lists, which is not read here");
  check_lists(walk, header, lists);
}

class Reader : public faiss::IOReader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  size_t operator()(void* to, size_t size, size_t items) override {
    if (size == 0) return 0;
    const size_t whole = std::min<size_t>(items, (bytes_.size() - at_) / size);
    if (whole > 0) std::memcpy(to, bytes_.data() + at_, whole * size);
    at_ += whole * size;
    return whole;
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

class Writer : public faiss::IOWriter {
 public:
  explicit Writer(std::ostream& out) : out_(out) {}
  size_t operator()(const void* from, size_t size, size_t items) override {
    out_.write(static_cast<const char*>(from), static_cast<std::streamsize>(size * items));
    return out_ ? items : 0;
  }

 private:
  std::ostream& out_;
};

}  // namespace faiss_file

void check_faiss_bytes(std::string_view bytes) {
  faiss_file::Walk walk(bytes);
  const std::string_view kind = walk.four_letters();
  if (kind == "IxFI") {
    faiss_file::check_flat(walk);
  } else if (kind == "IwFl") {
    faiss_file::check_ivf(walk);
  } else {
    fail("this is no faiss index of the kinds IndexFlatIP and IndexIVFFlat");
  }
  if (walk.left() > 0) fail("it goes on for ", walk.left(), " bytes after its end");
}

std::unique_ptr<faiss::Index> read_faiss(const std::filesystem::path& file) {
  const MappedFile mapping(file);
  return with_context(file.string(), [&]() -> std::unique_ptr<faiss::Index> {
    check_faiss_bytes(mapping.bytes());
    faiss_file::Reader reader(mapping.bytes());
    try {
      return std::unique_ptr<faiss::Index>(faiss::read_index(&reader));
    } catch (const std::exception& error) {
      fail("faiss cannot read it: ", error.what());
    }
  });
}

void write_faiss(const std::filesystem::path& file, const faiss::Index& index) {
  write_file_atomically(file, [&](std::ostream& out) {
    faiss_file::Writer writer(out);
    try {
      faiss::write_index(&index, &writer);
    } catch (const std::exception& error) {
      if (out) fail("faiss cannot write ", file.string(), ": ", error.what());
    }
  });
}

}  // namespace vlm
