#include "engine/local_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "engine/item_codec.h"
#include "engine/local_wire.h"
#include "wal/named_thread.h"

namespace tailrace {
namespace {

using engine::Socket;

// What a page may hold at most, whatever the client asks for.
constexpr uint32_t kPageItemsMax = 10'000;
constexpr uint64_t kPageBytesMax = 1 << 20;

constexpr int kRetryMs = 100;

// What a client sends in place of what it means is its own mistake, not damage of the store.
Status Malformed(const Status& status) {
  return InvalidArgument("the request cannot be read: " + status.message());
}

Result<Item> ReadItem(const std::string& bytes) {
  auto item = DecodeItem(bytes);
  if (!item.ok()) return Malformed(item.status());
  return item;
}

Result<std::optional<Item>> ReadItemIfAny(bool has, const std::string& bytes) {
  if (!has) return std::optional<Item>();
  TAILRACE_ASSIGN_OR_RETURN(Item item, ReadItem(bytes));
  return std::optional<Item>(std::move(item));
}

Result<Value> ReadValue(const std::string& bytes) {
  auto value = engine::ValueOfWire(bytes);
  if (!value.ok()) return Malformed(value.status());
  return value;
}

Result<WriteOptions> ReadWriteOptions(uint32_t return_items) {
  if (return_items > static_cast<uint32_t>(ReturnItems::kBoth)) {
    return InvalidArgument("the request asks for items that this build does not know");
  }
  WriteOptions options;
  options.return_items = static_cast<ReturnItems>(return_items);
  return options;
}

Status Answer(Store& store, const local::Get& call, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const Item key, ReadItem(call.key()));
  TAILRACE_ASSIGN_OR_RETURN(const auto item, store.Get(call.table(), key));
  local::FoundItem* const found = response.mutable_item();
  if (item) found->set_item(EncodeItem(*item));
  return Status::Ok();
}

Status Answer(Store& store, const local::Put& call, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const Item item, ReadItem(call.item()));
  TAILRACE_ASSIGN_OR_RETURN(const WriteOptions options, ReadWriteOptions(call.return_items()));
  TAILRACE_ASSIGN_OR_RETURN(const auto result, store.Put(call.table(), item, options));
  *response.mutable_write() = engine::ToWire(result);
  return Status::Ok();
}

Status Answer(Store& store, const local::Erase& call, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const Item key, ReadItem(call.key()));
  TAILRACE_ASSIGN_OR_RETURN(const WriteOptions options, ReadWriteOptions(call.return_items()));
  TAILRACE_ASSIGN_OR_RETURN(const auto result, store.Delete(call.table(), key, options));
  *response.mutable_write() = engine::ToWire(result);
  return Status::Ok();
}

Status Answer(Store& store, const local::Query& call, local::Response& response) {
  if (call.sort_kind() > static_cast<uint32_t>(SortCondition::Kind::kBeginsWith)) {
    return InvalidArgument("the request has a condition that this build does not know");
  }
  TAILRACE_ASSIGN_OR_RETURN(const Value partition, ReadValue(call.partition()));
  QueryRequest request{.partition = partition,
                       .forward = !call.backward(),
                       .items_max = std::min(call.items_max(), kPageItemsMax),
                       .bytes_max = std::min(call.bytes_max(), kPageBytesMax)};
  request.sort.kind = static_cast<SortCondition::Kind>(call.sort_kind());
  if (call.has_sort_value()) {
    TAILRACE_ASSIGN_OR_RETURN(request.sort.value, ReadValue(call.sort_value()));
  }
  if (call.has_sort_upper()) {
    TAILRACE_ASSIGN_OR_RETURN(request.sort.upper, ReadValue(call.sort_upper()));
  }
  TAILRACE_ASSIGN_OR_RETURN(request.start_after,
                            ReadItemIfAny(call.has_start_after(), call.start_after()));
  request.index = call.index();
  TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store.Query(call.table(), request));
  *response.mutable_page() = engine::ToWire(page);
  return Status::Ok();
}

Status Answer(Store& store, const local::Scan& call, local::Response& response) {
  ScanRequest request{.items_max = std::min(call.items_max(), kPageItemsMax),
                      .bytes_max = std::min(call.bytes_max(), kPageBytesMax)};
  TAILRACE_ASSIGN_OR_RETURN(request.start_after,
                            ReadItemIfAny(call.has_start_after(), call.start_after()));
  request.index = call.index();
  request.segment = call.segment();
  if (call.total_segments() != 0) request.total_segments = call.total_segments();
  TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store.Scan(call.table(), request));
  *response.mutable_page() = engine::ToWire(page);
  return Status::Ok();
}

Status Answer(Store& store, const local::DescribeTable& call, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const TableInfo table, store.DescribeTable(call.table()));
  *response.mutable_tables()->add_tables() = engine::ToWire(table);
  return Status::Ok();
}

Status Answer(Store& store, const local::ListTables&, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const auto tables, store.ListTables());
  local::Tables* const wire = response.mutable_tables();
  for (const TableInfo& table : tables) *wire->add_tables() = engine::ToWire(table);
  return Status::Ok();
}

Status Answer(Store& store, const local::ListStreams& call, local::Response& response) {
  const auto of_table = call.has_table() ? std::optional<std::string>(call.table()) : std::nullopt;
  TAILRACE_ASSIGN_OR_RETURN(const auto streams, store.ListStreams(of_table));
  local::Streams* const wire = response.mutable_streams();
  for (const StreamInfo& stream : streams) *wire->add_streams() = engine::ToWire(stream);
  return Status::Ok();
}

Status Answer(Store& store, const local::DescribeStream& call, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const StreamInfo stream, store.DescribeStream(StreamId{call.stream()}));
  *response.mutable_streams()->add_streams() = engine::ToWire(stream);
  return Status::Ok();
}

Status Answer(Store& store, const local::ReadStats&, local::Response& response) {
  TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store.Stats());
  *response.mutable_stats() = engine::ToWire(stats);
  return Status::Ok();
}

Status Answer(Store& store, const local::Backup& call, local::Response& response) {
  if (!call.directory().starts_with('/')) {
    return InvalidArgument("the backup's directory must be an absolute path");
  }
  TAILRACE_ASSIGN_OR_RETURN(const BackupReport report, store.Backup(call.directory()));
  *response.mutable_backup() = engine::ToWire(report);
  return Status::Ok();
}

Status Dispatch(Store& store, const local::Request& request, local::Response& response) {
  if (request.version() != engine::kLocalVersion) {
    return Unsupported("the request has version " + std::to_string(request.version()) +
                       ", the process that has the store open knows " +
                       std::to_string(engine::kLocalVersion));
  }
  switch (request.call_case()) {
    case local::Request::kGet:
      return Answer(store, request.get(), response);
    case local::Request::kPut:
      return Answer(store, request.put(), response);
    case local::Request::kErase:
      return Answer(store, request.erase(), response);
    case local::Request::kQuery:
      return Answer(store, request.query(), response);
    case local::Request::kScan:
      return Answer(store, request.scan(), response);
    case local::Request::kDescribeTable:
      return Answer(store, request.describe_table(), response);
    case local::Request::kListTables:
      return Answer(store, request.list_tables(), response);
    case local::Request::kListStreams:
      return Answer(store, request.list_streams(), response);
    case local::Request::kDescribeStream:
      return Answer(store, request.describe_stream(), response);
    case local::Request::kReadStats:
      return Answer(store, request.read_stats(), response);
    case local::Request::kBackup:
      return Answer(store, request.backup(), response);
    case local::Request::CALL_NOT_SET:
      break;
  }
  return Unsupported("the process that has the store open does not know this request");
}

// The answer to the bytes of a request, whatever they are.
std::string AnswerTo(Store& store, const std::string& frame) {
  local::Request request;
  local::Response response;
  if (!request.ParseFromString(frame)) {
    engine::SetStatus(InvalidArgument("the request cannot be read"), response);
    return response.SerializeAsString();
  }
  const Status answered = Dispatch(store, request, response);
  if (answered.ok() && response.ByteSizeLong() <= engine::kLocalResponseBytesMax) {
    return response.SerializeAsString();
  }
  response.Clear();
  engine::SetStatus(answered.ok() ? NoSpace("the answer is too long for the socket") : answered,
                    response);
  return response.SerializeAsString();
}

// One request and its answer. Whatever goes wrong with the connection ends it, and nothing else.
void Serve(Store& store, const Socket& client) {
  const auto frame =
      engine::ReceiveFrame(client, engine::kLocalRequestBytesMax, LocalServer::kFrameMsMax);
  std::string answer;
  if (frame.ok()) {
    answer = AnswerTo(store, *frame);
  } else if (frame.status().code() == StatusCode::kInvalidArgument) {
    local::Response response;
    engine::SetStatus(frame.status(), response);
    answer = response.SerializeAsString();
  } else {
    return;
  }
  (void)engine::SendFrame(client, answer, LocalServer::kFrameMsMax);
}

}  // namespace

Result<std::unique_ptr<LocalServer>> LocalServer::Start(Store& store,
                                                        const std::string& directory) noexcept {
  // Whether the store can be called at all: it is open, and this process has opened it.
  TAILRACE_RETURN_IF_ERROR(store.ListTables().status());
  Socket stop_event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event.valid()) {
    return IoError("eventfd: " + std::generic_category().message(errno));
  }
  TAILRACE_ASSIGN_OR_RETURN(Socket listening, engine::ListenIn(directory));
  return std::unique_ptr<LocalServer>(
      new LocalServer(store, directory, std::move(listening), std::move(stop_event)));
}

LocalServer::LocalServer(Store& store, std::string directory, Socket listening, Socket stop_event)
    : store_(store),
      directory_(std::move(directory)),
      listening_(std::move(listening)),
      stop_event_(std::move(stop_event)) {
  for (size_t i = 0; i < kThreads; ++i) {
    threads_.push_back(NamedThread("tr-socket", [this] { Run(); }));
  }
}

LocalServer::~LocalServer() {
  engine::RemoveSocket(directory_);
  const uint64_t one = 1;
  (void)!::write(stop_event_.get(), &one, sizeof one);
  for (std::thread& thread : threads_) thread.join();
}

void LocalServer::operator delete(LocalServer* server, std::destroying_delete_t) {
  if (server->fork_guard_.InChild()) return;
  server->~LocalServer();
  ::operator delete(server);
}

void LocalServer::Run() {
  while (true) {
    pollfd entries[] = {{.fd = listening_.get(), .events = POLLIN, .revents = 0},
                        {.fd = stop_event_.get(), .events = POLLIN, .revents = 0}};
    if (::poll(entries, 2, -1) < 0 && errno != EINTR) return;
    if (entries[1].revents != 0) return;
    if (entries[0].revents == 0) continue;
    // Another thread may have been faster.
    const auto client = engine::AcceptFrom(listening_);
    if (client.ok()) Serve(store_, *client);
    // Out of descriptors, say: whoever waits would wake this thread again at once.
    if (client.status().code() == StatusCode::kIoError) (void)::poll(&entries[1], 1, kRetryMs);
  }
}

}  // namespace tailrace
