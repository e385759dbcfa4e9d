#include "tools/line_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "tools/format.h"

namespace tailrace::tools {
namespace {

constexpr unsigned kInputBytes = 256 << 10;

class GzLineReader final : public LineReader {
 public:
  GzLineReader(std::string name, gzFile file, const struct stat& facts)
      : name_(std::move(name)), file_(file) {
    if (S_ISREG(facts.st_mode)) {
      size_bytes_ = static_cast<uint64_t>(facts.st_size);
      changed_ms_ = static_cast<uint64_t>(facts.st_mtim.tv_sec) * 1000 +
                    static_cast<uint64_t>(facts.st_mtim.tv_nsec) / 1'000'000;
    }
    gzbuffer(file_, kInputBytes);
  }
  ~GzLineReader() override { gzclose_r(file_); }

  Result<bool> Next(std::string_view& line) override {
    if (!failure_.ok()) return failure_;
    while (true) {
      const size_t end = buffer_.find('\n', searched_);
      if (end != std::string::npos) return Take(line, end, end + 1);
      searched_ = buffer_.size();
      if (at_end_) {
        if (begin_ == buffer_.size()) return false;
        return Take(line, buffer_.size(), buffer_.size());
      }
      if (buffer_.size() - begin_ > kLineBytesMax) {
        failure_ =
            InvalidArgument(Format("{}:{}: the line is longer than {} bytes, which no item is",
                                   name_, line_number_ + 1, kLineBytesMax));
        return failure_;
      }
      TAILRACE_RETURN_IF_ERROR(Fill());
    }
  }

  uint64_t line_number() const override { return line_number_; }
  uint64_t offset_bytes() const override {
    const auto offset = gzoffset(file_);
    return offset < 0 ? 0 : static_cast<uint64_t>(offset);
  }
  uint64_t size_bytes() const override { return size_bytes_; }
  uint64_t changed_ms() const override { return changed_ms_; }

 private:
  bool Take(std::string_view& line, size_t end, size_t next) {
    line = std::string_view(buffer_).substr(begin_, end - begin_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin_ = searched_ = next;
    ++line_number_;
    return true;
  }

  Status Fill() {
    buffer_.erase(0, begin_);
    searched_ -= begin_;
    begin_ = 0;
    const size_t kept = buffer_.size();
    buffer_.resize(kept + kInputBytes);
    const int read_bytes = gzread(file_, buffer_.data() + kept, kInputBytes);
    buffer_.resize(kept + static_cast<size_t>(std::max(read_bytes, 0)));
    if (read_bytes > 0) return Status::Ok();
    int code = Z_OK;
    const char* message = gzerror(file_, &code);
    if (read_bytes == 0 && (code == Z_OK || code == Z_STREAM_END)) {
      at_end_ = true;
      return Status::Ok();
    }
    if (code == Z_ERRNO) {
      failure_ = IoError(Cat(name_, ": ", std::strerror(errno)));
    } else if (code == Z_BUF_ERROR) {
      failure_ = IoError(
          Cat(name_, ": ends in the middle of its compressed data, after line ", line_number_));
    } else {
      failure_ = IoError(Cat(name_, ": after line ", line_number_, ": ", message));
    }
    return failure_;
  }

  const std::string name_;
  gzFile const file_;
  uint64_t size_bytes_ = 0;
  uint64_t changed_ms_ = 0;
  std::string buffer_;
  size_t begin_ = 0;     // Of what was not returned yet.
  size_t searched_ = 0;  // There is no end of a line from begin_ to here.
  bool at_end_ = false;
  uint64_t line_number_ = 0;
  Status failure_;
};

}  // namespace

Result<std::unique_ptr<LineReader>> LineReader::Open(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  const int fd = standard_input ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const std::string text = Cat(name, ": ", std::strerror(errno));
    return errno == ENOENT ? NotFound(text) : IoError(text);
  }
  struct stat facts {};
  gzFile file = nullptr;
  if (::fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode))
    errno = EISDIR;
  else
    file = gzdopen(fd, "rb");
  if (file == nullptr) {
    const Status failure = IoError(Cat(name, ": ", std::strerror(errno)));
    ::close(fd);
    return failure;
  }
  return std::unique_ptr<LineReader>(std::make_unique<GzLineReader>(name, file, facts));
}

}  // namespace tailrace::tools
