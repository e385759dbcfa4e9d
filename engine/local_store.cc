#include "engine/local_store.h"

#include <functional>

#include "engine/item_codec.h"
#include "engine/local_socket.h"
#include "engine/local_wire.h"

namespace tailrace {
namespace {

// For an owner that makes no progress, its disk stuck say.
constexpr uint64_t kAnswerMsMax = 60'000;
constexpr uint64_t kSendMsMax = 10'000;
// For a backup: it takes as long as it takes, and an owner that dies meanwhile ends the connection.
constexpr uint64_t kBackupMsMax = 7ull * 24 * 3600'000;

class LocalStoreImpl final : public Store {
 public:
  explicit LocalStoreImpl(std::string directory) : directory_(std::move(directory)) {}

  Status Close() noexcept override { return Status::Ok(); }

  Result<TableInfo> DescribeTable(const std::string& table) noexcept override;
  Result<std::vector<TableInfo>> ListTables() noexcept override;
  Result<WriteResult> Put(const std::string& table, const Item& item,
                          const WriteOptions& options) noexcept override;
  Result<WriteResult> Delete(const std::string& table, const Item& key,
                             const WriteOptions& options) noexcept override;
  Result<std::optional<Item>> Get(const std::string& table, const Item& key) noexcept override;
  Result<ItemPage> Query(const std::string& table, const QueryRequest& request) noexcept override;
  Result<ItemPage> Scan(const std::string& table, const ScanRequest& request) noexcept override;
  Result<std::vector<StreamInfo>> ListStreams(
      const std::optional<std::string>& table) noexcept override;
  Result<StreamInfo> DescribeStream(StreamId stream) noexcept override;
  Result<StoreStats> Stats() noexcept override;
  Result<BackupReport> Backup(const std::string& directory,
                              const BackupOptions& options) noexcept override;

  // Writes came back when they were safe.
  Status Wait(const CommitToken&) noexcept override { return Status::Ok(); }

  Result<TableInfo> CreateTable(const TableSpec&) noexcept override {
    return Refuse("creating a table");
  }
  Status DropTable(const std::string&) noexcept override { return Refuse("dropping a table"); }
  Result<IndexInfo> CreateIndex(const std::string&, const IndexSpec&) noexcept override {
    return Refuse("creating an index");
  }
  Status DropIndex(const std::string&, const std::string&) noexcept override {
    return Refuse("dropping an index");
  }
  Status UpdateTimeToLive(const std::string&, const std::optional<std::string>&) noexcept override {
    return Refuse("changing a time to live");
  }
  Result<WriteResult> Update(const std::string&, const Item&, const Updater&,
                             const WriteOptions&) noexcept override {
    return Refuse("an update");
  }
  Result<TransactResult> Transact(const std::vector<WriteRequest>&,
                                  const TransactOptions&) noexcept override {
    return Refuse("a transaction");
  }
  Result<std::vector<Result<WriteResult>>> BatchWrite(const std::vector<WriteRequest>&,
                                                      WaitFor) noexcept override {
    return Refuse("a batch");
  }
  Status WaitFannedOut(const CommitToken&) noexcept override {
    return Refuse("waiting for fan-out");
  }
  Result<std::vector<std::optional<Item>>> TransactGet(
      const std::vector<ItemKey>&) noexcept override {
    return Refuse("a transactional read");
  }
  Result<std::vector<std::optional<Item>>> BatchGet(const std::vector<ItemKey>&) noexcept override {
    return Refuse("a batch");
  }
  Result<StreamInfo> EnableStream(const std::string&, ViewType,
                                  const StreamOptions&) noexcept override {
    return Refuse("enabling a stream");
  }
  Status DisableStream(const std::string&) noexcept override {
    return Refuse("disabling a stream");
  }
  Result<Position> SeekShard(StreamId, ShardId, StartAt, SequenceNumber,
                             uint64_t) noexcept override {
    return Refuse("reading a stream");
  }
  Result<ChangePage> ReadShard(const Position&, const PageLimits&) noexcept override {
    return Refuse("reading a stream");
  }
  Status ReadEncoded(const Position&, const PageLimits&, EncodedPage&) noexcept override {
    return Refuse("reading a stream");
  }
  Result<bool> WaitShard(const Position&, uint64_t) noexcept override {
    return Refuse("reading a stream");
  }
  Result<bool> WaitShards(const std::vector<Position>&, uint64_t) noexcept override {
    return Refuse("reading a stream");
  }
  Result<std::vector<ShardInfo>> SplitShard(StreamId, ShardId) noexcept override {
    return Refuse("splitting a shard");
  }
  Result<ShardInfo> MergeShards(StreamId, ShardId, ShardId) noexcept override {
    return Refuse("merging shards");
  }
  Status Checkpoint() noexcept override { return Refuse("a checkpoint"); }
  Status RunMaintenance() noexcept override { return Refuse("upkeep"); }
  Status ConfirmDowntime() noexcept override { return Refuse("confirming downtime"); }

 private:
  Status Refuse(const std::string& what) const {
    return Busy(directory_ + " is in use by a process whose socket does not take " + what +
                "; stop that process");
  }
  Result<local::Response> Call(const local::Request& request, StatusCode cut_short,
                               uint64_t answer_ms_max = kAnswerMsMax) const;
  Result<WriteResult> Write(const local::Request& request, const WriteOptions& options) const;

  const std::string directory_;
};

local::Request NewRequest() {
  local::Request request;
  request.set_version(engine::kLocalVersion);
  return request;
}

// One connection for one request. Once it was sent, an end of the connection is `cut_short`.
Result<local::Response> LocalStoreImpl::Call(const local::Request& request, StatusCode cut_short,
                                             uint64_t answer_ms_max) const {
  const std::string frame = request.SerializeAsString();
  if (frame.size() > engine::kLocalRequestBytesMax) {
    return InvalidArgument("the request is too long for the socket");
  }
  auto socket = engine::ConnectIn(directory_);
  if (socket.status().code() == StatusCode::kNotFound) {
    return Closed("the process that had the store open has gone: run the command again");
  }
  TAILRACE_RETURN_IF_ERROR(socket.status());
  TAILRACE_RETURN_IF_ERROR(engine::SendFrame(*socket, frame, kSendMsMax));
  const auto answer = engine::ReceiveFrame(*socket, engine::kLocalResponseBytesMax, answer_ms_max);
  if (!answer.ok()) {
    return Status(cut_short, "the process that has the store open did not answer: " +
                                 answer.status().message());
  }
  local::Response response;
  if (!response.ParseFromString(*answer)) {
    return Status(cut_short, "the answer of the process that has the store open cannot be read");
  }
  TAILRACE_RETURN_IF_ERROR(engine::StatusOf(response));
  return response;
}

// The answer has another part than the one that was asked for.
Status Astray() {
  return Unsupported("the process that has the store open answers something else");
}

Result<TableInfo> LocalStoreImpl::DescribeTable(const std::string& table) noexcept {
  local::Request request = NewRequest();
  request.mutable_describe_table()->set_table(table);
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (response.tables().tables_size() != 1) return Astray();
  return engine::FromWire(response.tables().tables(0));
}

Result<std::vector<TableInfo>> LocalStoreImpl::ListTables() noexcept {
  local::Request request = NewRequest();
  request.mutable_list_tables();
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  std::vector<TableInfo> tables;
  for (const local::Table& wire : response.tables().tables()) {
    TAILRACE_ASSIGN_OR_RETURN(TableInfo table, engine::FromWire(wire));
    tables.push_back(std::move(table));
  }
  return tables;
}

Result<WriteResult> LocalStoreImpl::Write(const local::Request& request,
                                          const WriteOptions& options) const {
  if (options.condition) {
    return InvalidArgument(
        "a condition cannot cross the socket of the process that has the store open; stop that "
        "process, or write without one");
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kOutcomeUnknown));
  if (!response.has_write()) return Astray();
  return engine::FromWire(response.write());
}

Result<WriteResult> LocalStoreImpl::Put(const std::string& table, const Item& item,
                                        const WriteOptions& options) noexcept {
  local::Request request = NewRequest();
  local::Put* const put = request.mutable_put();
  put->set_table(table);
  TAILRACE_ASSIGN_OR_RETURN(*put->mutable_item(), engine::WireItem(item));
  put->set_return_items(static_cast<uint32_t>(options.return_items));
  return Write(request, options);
}

Result<WriteResult> LocalStoreImpl::Delete(const std::string& table, const Item& key,
                                           const WriteOptions& options) noexcept {
  local::Request request = NewRequest();
  local::Erase* const erase = request.mutable_erase();
  erase->set_table(table);
  TAILRACE_ASSIGN_OR_RETURN(*erase->mutable_key(), engine::WireItem(key));
  erase->set_return_items(static_cast<uint32_t>(options.return_items));
  return Write(request, options);
}

Result<std::optional<Item>> LocalStoreImpl::Get(const std::string& table,
                                                const Item& key) noexcept {
  local::Request request = NewRequest();
  request.mutable_get()->set_table(table);
  TAILRACE_ASSIGN_OR_RETURN(*request.mutable_get()->mutable_key(), engine::WireItem(key));
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (!response.has_item()) return Astray();
  if (!response.item().has_item()) return std::optional<Item>();
  TAILRACE_ASSIGN_OR_RETURN(Item item, DecodeItem(response.item().item()));
  return std::optional<Item>(std::move(item));
}

Result<ItemPage> LocalStoreImpl::Query(const std::string& table,
                                       const QueryRequest& query) noexcept {
  local::Request request = NewRequest();
  local::Query* const wire = request.mutable_query();
  wire->set_table(table);
  TAILRACE_ASSIGN_OR_RETURN(*wire->mutable_partition(), engine::WireValue(query.partition));
  wire->set_sort_kind(static_cast<uint32_t>(query.sort.kind));
  if (query.sort.value) {
    TAILRACE_ASSIGN_OR_RETURN(*wire->mutable_sort_value(), engine::WireValue(*query.sort.value));
  }
  if (query.sort.upper) {
    TAILRACE_ASSIGN_OR_RETURN(*wire->mutable_sort_upper(), engine::WireValue(*query.sort.upper));
  }
  wire->set_backward(!query.forward);
  wire->set_items_max(query.items_max);
  wire->set_bytes_max(query.bytes_max);
  wire->set_index(query.index);
  if (query.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(*wire->mutable_start_after(), engine::WireItem(*query.start_after));
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (!response.has_page()) return Astray();
  return engine::FromWire(response.page());
}

Result<ItemPage> LocalStoreImpl::Scan(const std::string& table, const ScanRequest& scan) noexcept {
  local::Request request = NewRequest();
  local::Scan* const wire = request.mutable_scan();
  wire->set_table(table);
  wire->set_items_max(scan.items_max);
  wire->set_bytes_max(scan.bytes_max);
  wire->set_index(scan.index);
  wire->set_segment(scan.segment);
  wire->set_total_segments(scan.total_segments);
  if (scan.start_after) {
    TAILRACE_ASSIGN_OR_RETURN(*wire->mutable_start_after(), engine::WireItem(*scan.start_after));
  }
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (!response.has_page()) return Astray();
  return engine::FromWire(response.page());
}

Result<std::vector<StreamInfo>> LocalStoreImpl::ListStreams(
    const std::optional<std::string>& table) noexcept {
  local::Request request = NewRequest();
  local::ListStreams* const list = request.mutable_list_streams();
  if (table) list->set_table(*table);
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  std::vector<StreamInfo> streams;
  for (const local::Stream& wire : response.streams().streams()) {
    TAILRACE_ASSIGN_OR_RETURN(StreamInfo stream, engine::FromWire(wire));
    streams.push_back(std::move(stream));
  }
  return streams;
}

Result<StreamInfo> LocalStoreImpl::DescribeStream(StreamId stream) noexcept {
  local::Request request = NewRequest();
  request.mutable_describe_stream()->set_stream(stream.value);
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (response.streams().streams_size() != 1) return Astray();
  return engine::FromWire(response.streams().streams(0));
}

Result<StoreStats> LocalStoreImpl::Stats() noexcept {
  local::Request request = NewRequest();
  request.mutable_read_stats();
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed));
  if (!response.has_stats()) return Astray();
  return engine::FromWire(response.stats());
}

// The owner writes it, where it sees that path, and tells nothing before it is done.
Result<BackupReport> LocalStoreImpl::Backup(const std::string& directory,
                                            const BackupOptions&) noexcept {
  local::Request request = NewRequest();
  request.mutable_backup()->set_directory(directory);
  TAILRACE_ASSIGN_OR_RETURN(const auto response, Call(request, StatusCode::kClosed, kBackupMsMax));
  if (!response.has_backup()) return Astray();
  return engine::FromWire(response.backup());
}

}  // namespace

Result<std::unique_ptr<Store>> LocalStore::Connect(const std::string& directory) noexcept {
  TAILRACE_RETURN_IF_ERROR(engine::ConnectIn(directory).status());
  return std::unique_ptr<Store>(std::make_unique<LocalStoreImpl>(directory));
}

}  // namespace tailrace
