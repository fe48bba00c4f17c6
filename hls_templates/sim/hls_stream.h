// hls::stream for C simulation: an unbounded queue with a name.
//
// With ADMMFPGA_TRACE every beat written to a named stream of ap_uint also goes to trace/<name>.hex, one beat a line,
// lowercase hexadecimal padded to the beat's width. Streams of the same name append to one file: a stream that a
// function makes anew for every frame keeps one trace.
#ifndef ADMMFPGA_HLS_STREAM_H
#define ADMMFPGA_HLS_STREAM_H

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#ifdef ADMMFPGA_TRACE
#include <ap_int.h>

#include <map>
#endif

namespace hls {

#ifdef ADMMFPGA_TRACE
namespace trace {

// Files by stream name, closed when the program ends.
class Files {
 public:
  FILE* operator[](const std::string& name) {
    FILE*& file = files_[name];
    if (!file) {
      const std::string path = "trace/" + name + ".hex";
      file = std::fopen(path.c_str(), "w");
      if (!file) {
        std::fprintf(stderr, "cannot write %s\n", path.c_str());
        std::exit(2);
      }
    }
    return file;
  }
  ~Files() {
    for (std::map<std::string, FILE*>::iterator it = files_.begin(); it != files_.end(); ++it) std::fclose(it->second);
  }

 private:
  std::map<std::string, FILE*> files_;
};

inline FILE* file(const std::string& name) {
  static Files files;
  return files[name];
}

template <class T>
inline void beat(FILE*, const T&) {}

template <int WIDTH>
inline void beat(FILE* file, const ap_uint<WIDTH>& value) {
  for (int digit = (WIDTH + 3) / 4 - 1; digit >= 0; --digit)
    std::fputc("0123456789abcdef"[((ap_uint<WIDTH>)(value >> (4 * digit))).to_uint64() & 15], file);
  std::fputc('\n', file);
}

}  // namespace trace
#endif

template <class T>
class stream {
 public:
  stream() : taken_(0) {}
  explicit stream(const char* name) : name_(name), taken_(0) {}
  explicit stream(const std::string& name) : name_(name), taken_(0) {}

  void write(const T& value) {
    beats_.push_back(value);
#ifdef ADMMFPGA_TRACE
    if (!name_.empty()) trace::beat(trace::file(name_), value);
#endif
  }

  T read() {
    if (empty()) {
      std::fprintf(stderr, "stream %s is read while it is empty\n", name_.empty() ? "(unnamed)" : name_.c_str());
      std::abort();
    }
    const T value = beats_[taken_++];
    if (taken_ == beats_.size()) {
      beats_.clear();
      taken_ = 0;
    }
    return value;
  }

  void read(T& value) { value = read(); }
  stream& operator<<(const T& value) {
    write(value);
    return *this;
  }
  stream& operator>>(T& value) {
    value = read();
    return *this;
  }

  bool empty() const { return taken_ == beats_.size(); }
  bool full() const { return false; }
  std::size_t size() const { return beats_.size() - taken_; }
  const std::string& name() const { return name_; }

 private:
  // Two ends of one stream are two references to it.
  stream(const stream&);
  stream& operator=(const stream&);

  std::string name_;
  std::vector<T> beats_;
  std::size_t taken_;
};

}  // namespace hls

#endif
