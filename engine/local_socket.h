// Length-framed messages over a unix-domain socket in a store's directory. docs/local-socket.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "wal/status.h"
#include "wal/types.h"

namespace tailrace::engine {

inline constexpr char kLocalSocketName[] = "socket";

// The largest request holds an item, the largest answer a page of them or a list of streams.
inline constexpr uint32_t kLocalRequestBytesMax = 2 << 20;
inline constexpr uint32_t kLocalResponseBytesMax = 64 << 20;

// Owns a socket's descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Makes the socket in the directory, mode 0600, in place of one that a dead owner left, and
// listens. kAlreadyExists: something else has its name, or somebody listens there; kNotFound (the
// directory), kIoError.
Result<Socket> ListenIn(const std::string& directory);

// Takes the socket's name away.
void RemoveSocket(const std::string& directory);

// kNotFound: nobody listens there, or there is no such directory; kBusy: too many wait there.
Result<Socket> ConnectIn(const std::string& directory);

// The next connection; kNotFound when there is none after all. It must be of this user, or of root:
// kFailedPrecondition otherwise. kIoError.
Result<Socket> AcceptFrom(const Socket& listening);

// Both use up to `timeout_ms` for the whole frame; kClosed when the other end has gone away or is
// too slow, kIoError.
Status SendFrame(const Socket& socket, ByteView bytes, uint64_t timeout_ms);
// kInvalidArgument: the frame says that it is longer than `bytes_max`.
Result<std::string> ReceiveFrame(const Socket& socket, uint32_t bytes_max, uint64_t timeout_ms);

}  // namespace tailrace::engine
