#include "engine/local_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include "wal/coding.h"

namespace tailrace::engine {
namespace {

constexpr mode_t kSocketMode = 0600;
constexpr int kBacklogMax = 128;
constexpr uint64_t kLengthBytes = 4;

using Deadline = std::chrono::steady_clock::time_point;

Status ErrnoStatus(const std::string& what) {
  return IoError(what + ": " + std::generic_category().message(errno));
}

// The directory, by a descriptor: its path may be longer than a socket's address can be.
struct Place {
  Socket directory;
  sockaddr_un address{};
};

Result<Place> PlaceIn(const std::string& directory) {
  Place place;
  place.directory = Socket(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place.directory.valid() && (errno == ENOENT || errno == ENOTDIR)) {
    return NotFound("there is no directory " + directory);
  }
  if (!place.directory.valid()) return ErrnoStatus("open directory " + directory);
  const std::string path =
      "/proc/self/fd/" + std::to_string(place.directory.get()) + "/" + kLocalSocketName;
  place.address.sun_family = AF_UNIX;
  std::memcpy(place.address.sun_path, path.c_str(), path.size() + 1);
  return place;
}

const sockaddr* AddressOf(const Place& place) {
  return reinterpret_cast<const sockaddr*>(&place.address);
}

Result<Socket> NewSocket() {
  Socket socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return ErrnoStatus("socket");
  return socket;
}

// Whether whoever is at the other end may ask, or answer, for this user.
Status CheckPeer(const Socket& socket) {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
    return ErrnoStatus("the peer of a socket");
  }
  if (peer.uid == ::geteuid() || peer.uid == 0) return Status::Ok();
  return FailedPrecondition("a process of user " + std::to_string(peer.uid) +
                            " is at the other end of the socket");
}

// Waits until the socket is ready for `events`.
Status AwaitReady(const Socket& socket, short events, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Closed("the other end of the socket is too slow");
    pollfd entry{.fd = socket.get(), .events = events, .revents = 0};
    const int ready =
        ::poll(&entry, 1, static_cast<int>(std::min<int64_t>(left.count(), INT32_MAX)));
    if (ready > 0) return Status::Ok();
    if (ready < 0 && errno != EINTR) return ErrnoStatus("poll");
  }
}

bool TriesAgain() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

Status SendAll(const Socket& socket, ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EPIPE || errno == ECONNRESET) return Closed("the other end of the socket is gone");
    if (!TriesAgain()) return ErrnoStatus("send");
    TAILRACE_RETURN_IF_ERROR(AwaitReady(socket, POLLOUT, deadline));
  }
  return Status::Ok();
}

Status ReceiveAll(const Socket& socket, char* target, uint64_t bytes, Deadline deadline) {
  while (bytes > 0) {
    const ssize_t got = ::recv(socket.get(), target, bytes, 0);
    if (got > 0) {
      target += got;
      bytes -= static_cast<uint64_t>(got);
      continue;
    }
    if (got == 0 || errno == ECONNRESET) return Closed("the other end of the socket is gone");
    if (!TriesAgain()) return ErrnoStatus("receive");
    TAILRACE_RETURN_IF_ERROR(AwaitReady(socket, POLLIN, deadline));
  }
  return Status::Ok();
}

Deadline After(uint64_t timeout_ms) {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<Socket> ListenIn(const std::string& directory) {
  TAILRACE_ASSIGN_OR_RETURN(const Place place, PlaceIn(directory));
  struct stat info {};
  if (::fstatat(place.directory.get(), kLocalSocketName, &info, AT_SYMLINK_NOFOLLOW) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return AlreadyExists(directory + "/" + kLocalSocketName + " is no socket; remove it");
    }
    if (ConnectIn(directory).status().code() != StatusCode::kNotFound) {
      return AlreadyExists("a server serves the socket in " + directory + " already; end it first");
    }
    (void)::unlinkat(place.directory.get(), kLocalSocketName, 0);
  }
  TAILRACE_ASSIGN_OR_RETURN(Socket socket, NewSocket());
  // Before it has a name, so that it never has one under another mode.
  if (::fchmod(socket.get(), kSocketMode) != 0 ||
      ::bind(socket.get(), AddressOf(place), sizeof place.address) != 0 ||
      ::listen(socket.get(), kBacklogMax) != 0) {
    return ErrnoStatus("listen in " + directory);
  }
  return socket;
}

void RemoveSocket(const std::string& directory) {
  (void)::unlink((directory + "/" + kLocalSocketName).c_str());
}

Result<Socket> ConnectIn(const std::string& directory) {
  TAILRACE_ASSIGN_OR_RETURN(const Place place, PlaceIn(directory));
  TAILRACE_ASSIGN_OR_RETURN(Socket socket, NewSocket());
  while (::connect(socket.get(), AddressOf(place), sizeof place.address) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTSOCK) {
      return NotFound("nobody listens at a socket in " + directory);
    }
    if (errno == EAGAIN) return Busy("too many wait at the socket in " + directory);
    return ErrnoStatus("connect in " + directory);
  }
  TAILRACE_RETURN_IF_ERROR(CheckPeer(socket));
  return socket;
}

Result<Socket> AcceptFrom(const Socket& listening) {
  Socket socket(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid() && (TriesAgain() || errno == ECONNABORTED)) return NotFound("nobody came");
  if (!socket.valid()) return ErrnoStatus("accept");
  TAILRACE_RETURN_IF_ERROR(CheckPeer(socket));
  return socket;
}

Status SendFrame(const Socket& socket, ByteView bytes, uint64_t timeout_ms) {
  char length[kLengthBytes];
  StoreLittle<uint32_t>(length, static_cast<uint32_t>(bytes.size()));
  const Deadline deadline = After(timeout_ms);
  TAILRACE_RETURN_IF_ERROR(SendAll(socket, ByteView(length, sizeof length), deadline));
  return SendAll(socket, bytes, deadline);
}

Result<std::string> ReceiveFrame(const Socket& socket, uint32_t bytes_max, uint64_t timeout_ms) {
  char length[kLengthBytes];
  const Deadline deadline = After(timeout_ms);
  TAILRACE_RETURN_IF_ERROR(ReceiveAll(socket, length, sizeof length, deadline));
  const uint32_t bytes = LoadLittle<uint32_t>(length);
  if (bytes > bytes_max) {
    return InvalidArgument("a frame of " + std::to_string(bytes) + " bytes is longer than " +
                           std::to_string(bytes_max));
  }
  // Memory is taken as bytes come, so that a length alone costs nothing.
  std::string frame;
  constexpr uint64_t kPieceBytes = 64 << 10;
  while (frame.size() < bytes) {
    const uint64_t have = frame.size();
    const uint64_t piece = std::min<uint64_t>(bytes - have, kPieceBytes);
    frame.resize(have + piece);
    TAILRACE_RETURN_IF_ERROR(ReceiveAll(socket, frame.data() + have, piece, deadline));
  }
  return frame;
}

}  // namespace tailrace::engine
