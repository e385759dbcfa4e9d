// Tailrace's front door: a store of DynamoDB-style tables whose every change feeds a stream.
//
//   auto store = tailrace::Store::Open("/var/lib/games", {}).value();
//   store->CreateTable({.name = "UserGames", .keys = {...}, .stream = ViewType::kNewAndOldImages});
//   store->Put("UserGames", Item{{"game_id", Value::N(2345)}, ...});
//
// All methods of Store may be called from any number of threads at once, except Close and the
// destructor. All of them may wait: for the disk, for a lock on an item, writes also while the
// journal is full (StoreOptions::journal_bytes_max); none has a time limit unless it takes one.
// What they are given is only read while the call lasts; what they return belongs to the caller.
//
// A callable passed to a write (condition, updater) runs in the calling thread while the item is
// locked, and may run again for the same write. It must not call the store, nor a reader or worker
// of it (kFailedPrecondition), must not throw, and should be quick.
//
// Replies rest on safe ground: no answer (an item, "not found", a refused condition, a list of
// tables) shows anything that a crash covered by the store's durability could take back.
//
// Errors that any method may return besides those it names: kClosed after Close;
// kFailedPrecondition in a forked child of the process that opened the store (the store stays with
// the parent; its destructor does nothing in the child); kReadOnly from writes once an earlier
// write or sync to disk failed (reopen the store); kNoSpace from writes while the disk is full
// (nothing was changed); kOutcomeUnknown when the failure came while the call waited; kIoError and
// kCorruption from the disk. An error of a write means that nothing was changed, but for
// kOutcomeUnknown. What to do on each: docs/embedding.md.
//
// Numbers of their own types (SequenceNumber, ShardId, Lsn, ...) have their value in `.value`.
// Messages show sequence numbers as the `tailrace` command does, which shards/sequence_number.h
// turns into text and back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backup.h"
#include "engine/index_spec.h"
#include "engine/key.h"
#include "engine/limits.h"
#include "engine/options.h"
#include "engine/value.h"
#include "shards/shard_reader.h"
#include "shards/types.h"
#include "wal/status.h"

namespace tailrace {

namespace engine {
struct RecordSchema;
}

// What reading a shard needs, in shards/shard_reader.h. A Position is five numbers, to be kept
// wherever one likes, also across restarts.
using shards::Gap;
using shards::PageLimits;
using shards::Position;
using shards::RecordView;
using shards::StartAt;

// ---------------------------------------------------------------------------------------- tables

struct TableSpec {
  // 3 to 255 of [A-Za-z0-9_.-]. Names that begin with "_tailrace." are the store's own.
  std::string name;
  KeySchema keys;  // Fixed for the table's life.
  // Enable a stream from the start, with the store's retention and shards. For others, or later:
  // EnableStream.
  std::optional<ViewType> stream = std::nullopt;
  std::vector<IndexSpec> indexes = {};  // Local ones can only be made here.
};

struct TableInfo {
  std::string name;
  TableId id;  // Another one when a table of the same name is made anew.
  KeySchema keys;
  uint64_t created_ms = 0;                // Since 1970, by the wall clock.
  std::optional<ViewType> stream_view;    // Set while a stream is enabled.
  std::optional<StreamId> latest_stream;  // The newest stream of this table, enabled or not.
  std::string latest_stream_label;        // "2015-05-11T21:21:33.291"; empty without one.
  std::optional<std::string> time_to_live_attribute;  // Set while expired items are deleted.
  std::vector<IndexInfo> indexes;                     // By name.
};

// ---------------------------------------------------------------------------------------- writes

// A commit's place in the journal, to wait for later. Good for this opening of the store, copied
// freely; afterwards, in another process or with another store, it means nothing, and is not always
// recognised. One that was not given out by the store (`CommitToken{}`) waits for nothing.
struct CommitToken {
  Lsn end;
};

enum class ReturnItems { kNone, kOld, kNew, kBoth };

enum class WaitFor {
  kSafe,     // Return when the write is as safe as the store's durability says.
  kNothing,  // Return at once, with the token; the write may still be lost until Wait(token).
};

// Sees the item as it is (null: there is none), before any updater; true lets the write go on. The
// item is only there during the call.
using Condition = std::function<bool(const Item* existing)>;

// Sees the item as it is (empty: there is none) and leaves it as it shall be (empty: deleted). A
// failure ends the write, nothing is changed, and the failure is returned as it is.
using Updater = std::function<Status(std::optional<Item>& item)>;

struct WriteOptions {
  Condition condition = nullptr;  // Null: always.
  ReturnItems return_items = ReturnItems::kNone;
  WaitFor wait = WaitFor::kSafe;
};

enum class WriteOutcome {
  kApplied,    // The item changed; one change record goes to the table's stream, if it has one.
  kUnchanged,  // The item already was so (or already absent): nothing was written, no record.
  kRejected,   // The condition said no; nothing was written.
};

struct WriteResult {
  WriteOutcome outcome = WriteOutcome::kApplied;
  // With ReturnItems::kOld or kBoth: the item before the call, if there was one. With kNew or
  // kBoth: after it, if there is one. Where nothing was written both are the item as it is.
  std::optional<Item> old_item;
  std::optional<Item> new_item;
  SequenceNumber sequence;  // Of the change; SequenceNumber{0} unless applied.
  CommitToken token;        // What to wait for; also of what an unchanged reply rests on.
};

// One write among several: of a transaction, or of a batch.
struct WriteRequest {
  enum class Kind {
    kPut,
    kDelete,
    kUpdate,
    kCheck,  // Leaves the item as it is; its condition must hold.
  };

  Kind kind = Kind::kPut;
  std::string table;
  Item item;                      // kPut: the item. Otherwise its key: exactly the key attributes.
  Condition condition = nullptr;  // kCheck needs one.
  Updater updater = nullptr;      // kUpdate needs one, the others must not have one.
  ReturnItems return_items = ReturnItems::kNone;

  static WriteRequest Put(std::string table, Item item, Condition condition = nullptr);
  static WriteRequest Delete(std::string table, Item key, Condition condition = nullptr);
  static WriteRequest Update(std::string table, Item key, Updater updater,
                             Condition condition = nullptr);
  static WriteRequest Check(std::string table, Item key, Condition condition);
};

struct TransactOptions {
  // Not empty: the transaction is remembered under this token, 1 to kIdempotencyTokenBytesMax bytes
  // of UTF-8, for kIdempotencyTokenMs of the store's age (StoreStats::age_ms). Meanwhile the same
  // request with the same token changes nothing and gives the first outcome again, also after a
  // crash or a reopening. Draw a new one for each transaction. Empty: it is not remembered.
  std::string idempotency_token = {};

  // Two requests count as the same if they have the same writes in the same order: kind, table
  // name, item or key, whether there is a condition; and the same fingerprint. What a condition or
  // an updater does cannot be compared: say here, in bytes of your own (the text of an expression
  // with its values, say), what tells two of them apart.
  std::string fingerprint = {};

  WaitFor wait = WaitFor::kSafe;
};

struct TransactResult {
  // kApplied: at least one item changed. kUnchanged: every condition held, and every item already
  // was so. kRejected: at least one condition said no; nothing was written, no token remembered.
  WriteOutcome outcome = WriteOutcome::kApplied;

  // The token was known. `items` have the outcomes and sequence numbers of the first time, and no
  // items, whatever was asked for.
  bool repeated = false;

  // One for each write, in the order of the request, each with `token` below. In a rejected
  // transaction: kRejected where the condition said no, kUnchanged elsewhere.
  std::vector<WriteResult> items;

  SequenceNumber commit;  // As in ChangeRecord; SequenceNumber{0} unless applied.
  CommitToken token;
};

// ---------------------------------------------------------------------------------------- reads

// One item among several to read.
struct ItemKey {
  std::string table;
  Item key;  // Exactly the key attributes.
};

struct QueryRequest {
  Value partition;  // The partition key's value, of the index if one is named.
  SortCondition sort = SortCondition::Any();  // The whole partition.
  bool forward = true;                        // False: from the highest sort key down.
  uint32_t items_max = 1000;                  // Not 0.
  uint64_t bytes_max = 1 << 20;  // Of Item::SizeBytes together; at least one item is returned.
  // The last_key of the page before, in an otherwise equal request.
  std::optional<Item> start_after = std::nullopt;
  std::string index = {};  // Of the table, by name. Empty: the table.
};

// Fields as in QueryRequest.
struct ScanRequest {
  uint32_t items_max = 1000;
  uint64_t bytes_max = 1 << 20;
  std::optional<Item> start_after = std::nullopt;
  std::string index = {};
  // Part `segment` of `total_segments` equal ones of the partition keys' hashes, so that several
  // threads may share a scan. The same numbers on every page.
  uint32_t segment = 0;
  uint32_t total_segments = 1;
};

struct ItemPage {
  std::vector<Item> items;
  // Absent: this was the last page. Set when there may be more (the next page may be empty): the
  // next request's start_after. It has the table's key attributes,
  // and in an index the index's besides, since items may share those.
  std::optional<Item> last_key;
};

// ---------------------------------------------------------------------------------------- streams

// Fixed for the stream's life.
struct StreamOptions {
  uint64_t retention_ms = 0;  // 0: what StoreOptions says now.
  uint32_t shards = 0;        // At the start, up to kShardsPerStreamMax. 0: what StoreOptions says.
};

struct ShardInfo {
  ShardId id;
  std::string name;         // "shardId-…", stable, sorts by creation.
  uint64_t hash_first = 0;  // Of the partition-key hashes it takes, both included.
  uint64_t hash_last = 0;
  std::optional<ShardId> parent;  // To be read to its end first. It may have expired and be gone.
  SequenceNumber starting;        // Behind the parent's ending.
  std::optional<SequenceNumber> ending;  // Set once the shard is sealed: it takes no more records.
  SequenceNumber trimmed_below;          // Records below have expired.
};

struct StreamInfo {
  StreamId id;
  TableId table;
  std::string table_name;  // Stays after the table was dropped, as `keys` does.
  KeySchema keys;
  std::string label;  // As TableInfo::latest_stream_label.
  ViewType view = ViewType::kKeysOnly;
  bool enabled = false;
  uint64_t created_ms = 0;
  uint64_t retention_ms = 0;
  std::vector<ShardInfo> shards;  // By id.
};

// One change of one item, as the stream's view type shows it.
struct ChangeRecord {
  std::string event_id;  // 32 hex digits, unique, the same at every reading.
  ChangeKind kind = ChangeKind::kInsert;
  SequenceNumber sequence;
  SequenceNumber commit;        // Of its commit; records of one transaction share it.
  uint32_t commit_changes = 1;  // Changes of that commit, those without a stream included.
  StreamId stream;
  ShardId shard;
  uint64_t ordinal = 0;  // 1, 2, 3, … within the shard.
  uint64_t wall_ms = 0;  // Of the commit, since 1970. Never falls within a shard.
  Actor actor = Actor::kUser;
  ViewType view = ViewType::kKeysOnly;
  Item keys;                      // The table's key attributes.
  std::optional<Item> new_image;  // If the view shows it and the item is there afterwards.
  std::optional<Item> old_image;  // If the view shows it and the item was there before.
  uint64_t size_bytes = 0;        // Of keys and the images present, as the service counts.
};

// A page of a shard.
struct ChangePage {
  std::optional<Gap> gap;  // If set, what is missing before `records`; reading went on behind it.
  std::vector<ChangeRecord> records;
  Position next;              // Where to go on.
  bool caught_up = false;     // Nothing more is there now: wait, or come back later.
  bool end_of_shard = false;  // Nothing more will ever come: go on with the shard's children.
};

// A page of a shard as it lies in the shard's files: checked like a ChangePage, and nothing decoded
// or copied out. Beside gap, next, caught_up and end_of_shard, which are as there, it has
// `records`: what the files have of each record, the key in the form in which the table stores it,
// and images in the encoding of items (docs/item-format.md), which DecodeItem in
// engine/item_codec.h reads. They are views into the page's own memory: good until it is read into
// again or destroyed, also once the shard has expired. Keep the page for the next call: it then
// allocates nothing. Thread-compatible.
struct EncodedPage : shards::RecordPage {
  // Of a record of this page. kCorruption: its bytes cannot be read.
  Result<Item> DecodeKeys(const RecordView& record) const;
  // The record as ReadShard gives it. kCorruption: its bytes cannot be read.
  Result<ChangeRecord> Decode(const RecordView& record) const;

  std::shared_ptr<const engine::RecordSchema> schema;  // What decoding needs; set by reading.
};

// ------------------------------------------------------------------------------------- statistics

// Numbers of one moment, about; what rises while they are read may be a little apart.
struct StoreStats {
  StoreId store_id;  // Drawn when the store was made.
  Epoch epoch;       // Counts the openings.
  Durability durability = Durability::kSync;
  // How far each has come in the journal: written to it, on stable storage; and what may be shown,
  // what readers of streams see, what is in RocksDB, what the journal has forgotten. The journal's
  // own frames count in the first two, so they may lie above the others for good; to wait for
  // something there are commit tokens.
  Lsn appended, durable;
  Lsn safe, fanned_out, cut, recycled;
  uint64_t journal_live_bytes = 0;   // Appended and not recycled: at most journal_bytes_max, about.
  uint64_t journal_disk_bytes = 0;   // Its files, spare ones included.
  uint64_t index_bytes = 0;          // RocksDB's files.
  uint64_t index_level0_files = 0;   // Of the family that has most; many slow reads down.
  bool index_compacting = false;     // RocksDB merges files, or is about to.
  uint64_t wall_ms = 0;              // What the store's clock says now, in ms since 1970.
  uint64_t age_ms = 0;               // The store's age: what retention and tokens go by.
  uint64_t downtime_pending_ms = 0;  // Not in it yet: StoreOptions::downtime_confirmation_ms.
  uint64_t checkpoints = 0;          // Since opening.
  // Since opening, by upkeep in tables with a time to live.
  uint64_t expiry_items_scanned = 0;
  uint64_t expired_items_deleted = 0;
  struct Shard {
    StreamId stream;
    ShardId shard;
    uint64_t bytes = 0;            // Of its files …
    uint64_t segments = 0;         // … and how many.
    uint64_t records = 0;          // Ever appended.
    SequenceNumber last_sequence;  // Of the newest; 0 without one.
  };
  std::vector<Shard> shards;
  // What the last opening did.
  uint64_t recovered_frames = 0;  // Replayed from the journal.
  uint64_t recovery_us = 0;
  uint64_t torn_bytes = 0;   // Of an unfinished tail, which was cut: nobody was promised it.
  bool clean_close = false;  // The store had been closed, or is new.
};

// ------------------------------------------------------------------------------------- the store

class Store {
 public:
  // Opens the store in `directory`, recovering it if it was not closed; takes about as long as it
  // takes to read what the journal holds. On OK everything that was ever acknowledged is there, and
  // the store owns the directory until it is closed or destroyed. Of the options only the
  // durability is kept with the store. A process may have several stores open. Errors: kBusy
  // (another opener has it; the message names it), kNotFound (no store there and create_if_missing
  // is off, or there is no directory to make it in), kInvalidArgument (options; a directory that
  // holds something else), kFailedPrecondition (the directory is a symbolic link, belongs to
  // another user, or others may write to it; this process is a fork of one that had a store open),
  // kUnsupported (a newer format), kCorruption (damage to what was once durable: file and place are
  // in the message, nothing was changed).
  static Result<std::unique_ptr<Store>> Open(const std::string& directory,
                                             const StoreOptions& options);

  // Closes, ignoring errors: call Close to learn of them. Whatever was opened on the store
  // (readers, workers, a LocalServer) is destroyed before.
  virtual ~Store() = default;

  // Makes everything durable and drains it into RocksDB, so that the next opening has nothing to
  // replay; then gives the directory free. Writes whose tokens nobody waited for are part of it. No
  // other call may be under way. Later calls say kClosed, but for Close, which does nothing. A
  // failure says that not all is durable; the store is closed all the same.
  virtual Status Close() = 0;

  // ---- Tables ----

  // Makes a table, which can be used on return. Errors: kInvalidArgument (name, keys, indexes),
  // kAlreadyExists.
  virtual Result<TableInfo> CreateTable(const TableSpec& spec) = 0;
  // Drops the table, its items and its indexes; its stream, if enabled, is disabled and stays
  // readable until its records expire. kNotFound.
  virtual Status DropTable(const std::string& table) = 0;
  virtual Result<TableInfo> DescribeTable(const std::string& table) = 0;  // kNotFound.
  virtual Result<std::vector<TableInfo>> ListTables() = 0;  // By name, without the store's own.
  // Makes a global index of a table in use. From now on writes keep it up; what was there before,
  // upkeep adds at options.backfill_items_per_second. Until that is done (TableInfo tells;
  // Event::Kind::kIndexActive) the index cannot be read. kNotFound (table), kAlreadyExists,
  // kInvalidArgument (see ValidateIndexes; a local index).
  virtual Result<IndexInfo> CreateIndex(const std::string& table, const IndexSpec& spec) = 0;
  // Drops a global index. kNotFound (table or index), kInvalidArgument (a local one).
  virtual Status DropIndex(const std::string& table, const std::string& index) = 0;
  // From now on items expire, those that are there too: when the number in `attribute`, seconds
  // since 1970, lies in the past by the wall clock, upkeep deletes the item. Reads show it until
  // then. The deletion is a change by Actor::kTimeToLive. An item without such a Number, or one of
  // more than five years ago, never expires. Absent: items do not expire any more. kNotFound,
  // kInvalidArgument (name), kFailedPrecondition (it is so already, or by another attribute).
  virtual Status UpdateTimeToLive(const std::string& table,
                                  const std::optional<std::string>& attribute) = 0;

  // ---- Items ----

  // Writes return when they are as safe as the store's durability says, unless told otherwise
  // (WriteOptions::wait), and are seen by all who read from then on. Of writes to one item under
  // way at once, each sees the one before it. With a stream each change is one record.

  // Puts `item` in place of any item with its key. kNotFound (table), kInvalidArgument (key or item
  // breaks a limit, or an attribute is the key of an index and has another type, is empty or too
  // long; the message names it). Update and Transact refuse the same.
  virtual Result<WriteResult> Put(const std::string& table, const Item& item,
                                  const WriteOptions& options = {}) = 0;
  // Deletes the item with this key. Here and below, `key` holds the table's key attributes and
  // nothing else (kInvalidArgument); kNotFound is the table's: an item that is not there is an
  // outcome.
  virtual Result<WriteResult> Delete(const std::string& table, const Item& key,
                                     const WriteOptions& options = {}) = 0;
  // Changes the item with this key by `updater`, which may create or delete it. The key attributes
  // must stay as they are (kInvalidArgument). Besides, errors as Put, and what the updater returns.
  virtual Result<WriteResult> Update(const std::string& table, const Item& key,
                                     const Updater& updater, const WriteOptions& options = {}) = 0;

  // Up to kTransactionItemsMax writes of any tables, all or nothing: no reader of TransactGet, no
  // crash and no follower of the journal ever finds some of them without the others. Conditions see
  // the items as they all are at one moment, and each runs; updaters run only if every condition
  // held. The changes get consecutive sequence numbers, in the order of the request.
  // Errors: kInvalidArgument (no write or too many; an item twice; a request that lacks something;
  // an item or key that breaks a limit; items of more than kTransactionItemBytesMax or images of
  // more than kTransactionImageBytesMax; a token that is too long or not UTF-8; a commit that does
  // not fit into options.journal_segment_bytes), kNotFound (table), kAlreadyExists (the token is
  // remembered for a different request), and what an updater returns. The message says which write
  // it was, counted from 0; nothing was changed.
  virtual Result<TransactResult> Transact(const std::vector<WriteRequest>& writes,
                                          const TransactOptions& options = {}) = 0;

  // Up to kBatchWriteItemsMax writes one after another, each for itself: the results, in the order
  // of the request, are those that the single calls would have given; an item may be there twice.
  // Waits once, at the end.
  // kInvalidArgument (no write or too many); other errors are each write's own, and do not keep the
  // others from being made. kOutcomeUnknown concerns all.
  virtual Result<std::vector<Result<WriteResult>>> BatchWrite(
      const std::vector<WriteRequest>& writes, WaitFor wait = WaitFor::kSafe) = 0;

  // Waits until the commit, and all before it, are as safe as the store's durability says.
  // kInvalidArgument: a token above all that this opening of the store has given out.
  virtual Status Wait(const CommitToken& token) = 0;
  // Waits until readers of streams can see the commit too: fan-out follows writes at once, but
  // apart from them. kInvalidArgument like Wait.
  virtual Status WaitFannedOut(const CommitToken& token) = 0;

  // The item as it is, writes that were answered before the call included; absent: there is none.
  // kNotFound (table), kInvalidArgument (key).
  virtual Result<std::optional<Item>> Get(const std::string& table, const Item& key) = 0;
  // Up to kTransactionItemsMax items of any tables, as they all are at one moment, in the order of
  // the request. A key may be asked for more than once. Keeps writers of these items waiting while
  // it reads. kInvalidArgument (no key or too many; a key that does not match), kNotFound (table).
  virtual Result<std::vector<std::optional<Item>>> TransactGet(
      const std::vector<ItemKey>& keys) = 0;
  // Up to kBatchGetItemsMax items, each as some moment during the call has it. Keeps nobody
  // waiting. Otherwise like TransactGet.
  virtual Result<std::vector<std::optional<Item>>> BatchGet(const std::vector<ItemKey>& keys) = 0;
  // Items of one partition in the order of their sort keys. Each item is as some moment during the
  // call had it; a page is not a snapshot. Of an index: items with that key of the index, as far as
  // they are projected, those of the same sort key in an order of their own. What is read follows
  // each commit whole, but items that change their key meanwhile may be seen twice or not at all.
  // kNotFound (table or index), kFailedPrecondition (the index is being filled), kInvalidArgument
  // (the request).
  virtual Result<ItemPage> Query(const std::string& table, const QueryRequest& request) = 0;
  // All items, of a table or an index, in the order of their partition-key hashes. Errors as Query.
  virtual Result<ItemPage> Scan(const std::string& table, const ScanRequest& request) = 0;

  // ---- Streams ----

  // A stream has shards, each with the records of a range of partition keys in commit order;
  // between shards there is none (but see MergedReader). This is the way to read them by oneself;
  // there are DurableReader, which keeps its positions and follows splits, ConsumerWorker, whose
  // work several share, and MergedReader.

  // Every change from now on goes to a new stream, which can be read on return. Errors: kNotFound
  // (table), kFailedPrecondition (it has an enabled stream), kInvalidArgument (options).
  virtual Result<StreamInfo> EnableStream(const std::string& table, ViewType view,
                                          const StreamOptions& options = {}) = 0;
  // Ends the table's stream; what it holds stays readable until it expires. kFailedPrecondition
  // (none), kNotFound (table).
  virtual Status DisableStream(const std::string& table) = 0;
  // All streams, or those of tables that have or had this name; by id.
  virtual Result<std::vector<StreamInfo>> ListStreams(
      const std::optional<std::string>& table = std::nullopt) = 0;
  virtual Result<StreamInfo> DescribeStream(StreamId stream) = 0;  // kNotFound.

  // A position in a shard. `number` is for kAtSequenceNumber and kAfterSequenceNumber, within the
  // shard's range (kInvalidArgument); from below what has expired, reading begins with a gap.
  // `wall_ms`, in ms since 1970, is for kAtTimestamp: records
  // before the position are stamped (ChangeRecord::wall_ms) earlier, the record there is not; with
  // no such record yet the position is behind the newest. kNotFound: no such stream or shard.
  virtual Result<Position> SeekShard(StreamId stream, ShardId shard, StartAt start,
                                     SequenceNumber number = {}, uint64_t wall_ms = 0) = 0;
  // The records from `position` on, a typed gap, or "caught up"; does not wait for records.
  // kInvalidArgument (a position of another store), kNotFound (the shard is gone with all its
  // records).
  virtual Result<ChangePage> ReadShard(const Position& position, const PageLimits& limits = {}) = 0;
  // The same without decoding, several times as fast: fills `page` in place of what it held. After
  // an error it is empty.
  virtual Status ReadEncoded(const Position& position, const PageLimits& limits,
                             EncodedPage& page) = 0;
  // Waits, using no CPU, until ReadShard would show something new: a record, a gap, the end. False
  // when `timeout_ms` ran out. Nothing else ends it early. Errors as ReadShard.
  virtual Result<bool> WaitShard(const Position& position, uint64_t timeout_ms) = 0;
  // The same for several shards at once: until one of them would show something new. Without any it
  // waits for the timeout.
  virtual Result<bool> WaitShards(const std::vector<Position>& positions, uint64_t timeout_ms) = 0;

  // Splits an open shard in the middle of its hashes: it is sealed at some S, and two shards that
  // begin at S + 1 take its place. Every record of theirs follows all of its own, so the order of
  // each item's changes holds along the lineage (ShardInfo::parent). Returns the two, lower hashes
  // first; by then readers see them. The store also splits shards by itself, see
  // StoreOptions::shard_split_records_per_second. kNotFound (stream or shard), kFailedPrecondition
  // (it is sealed, takes a single hash, or shards_per_stream_max is reached).
  virtual Result<std::vector<ShardInfo>> SplitShard(StreamId stream, ShardId shard) = 0;
  // Merges two open shards with adjacent hashes into one, which names one of them as its parent: a
  // shard has room for one. So neither may hold a record that has not expired (and been trimmed by
  // upkeep), nor may an ancestor of the other, or readers could not be led to those first.
  // kNotFound, kInvalidArgument (not adjacent), kFailedPrecondition (one is sealed, holds records,
  // has such an ancestor, or is being written to).
  virtual Result<ShardInfo> MergeShards(StreamId stream, ShardId one, ShardId other) = 0;

  // ---- Upkeep ----

  // Drains all that is written so far into RocksDB and frees its journal. The store does so by
  // itself; a program that asks shortens its next opening, should it not come to Close.
  virtual Status Checkpoint() = 0;
  // Writes a clock reading, splits busy shards, rotates old ones, expires records that are too old
  // and removes their files, deletes all expired items, and fills all indexes that were made. The
  // store does so by itself every maintenance_interval_ms, expired items and indexes at a bounded
  // pace.
  virtual Status RunMaintenance() = 0;
  // Counts the pending downtime (StoreStats::downtime_pending_ms) as age at once: an operator says
  // that the clock is right.
  virtual Status ConfirmDowntime() = 0;
  virtual Result<StoreStats> Stats() = 0;
  // Copies the store, as it is at one moment behind the call's beginning, to `directory`, which
  // must be missing or empty, or hold what an interrupted backup left there. The store stays in
  // use; it keeps what retention gives up meanwhile. What is copied is verified: damage in it is
  // kCorruption, with the place, and then there is no backup. Errors besides: kAlreadyExists
  // (something else is in `directory`), kBusy (another backup goes there), kClosed (on_progress
  // ended it), kNoSpace.
  virtual Result<BackupReport> Backup(const std::string& directory,
                                      const BackupOptions& options = {}) = 0;
};

}  // namespace tailrace
