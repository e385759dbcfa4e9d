#include "tests/crash/store_workload.h"

#include <algorithm>
#include <sstream>

#include "engine/consumer.h"
#include "wal/check.h"
#include "wal/hash.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kRetentionMs = 1'000'000;
constexpr char kLetters[] = "PBUDNTRSLIXCAMKOQW";
const KeySchema kRowKeys{{"id", ScalarType::kN}, std::nullopt};
const IndexSpec kIndex{.name = kColorIndex, .keys = {{"color", ScalarType::kS}, std::nullopt}};

}  // namespace

SimFsOptions SimStoreDisk() {
  return {.disk = {.ordered_directories = {std::string(kSimStoreDirectory) + "/items"}}};
}

StoreOptions SimStoreOptions(SimFs& fs, const Clock& clock, Durability durability) {
  StoreOptions options;
  options.durability = durability;
  options.threads = StoreThreads::kNone;
  options.fs = &fs;
  options.clock = &clock;
  options.journal_segment_bytes = wal::kJournalSegmentBytesMin;
  options.generation_bytes_max = 1 << 20;
  options.journal_bytes_max = 4 << 20;
  options.shard_segment_bytes_max = 2 << 10;
  options.shards_per_stream = 1;
  options.shard_split_records_per_second = 0;
  options.shard_split_bytes_per_second = 0;
  options.retention_ms = kRetentionMs;
  options.block_cache_bytes = 64 << 10;
  options.item_cache_bytes = 64 << 10;
  options.maintenance_interval_ms = 0;
  return options;
}

// ---- The truth. ----

size_t StoreTruth::FirstAllowed(const CrashChoice& choice) const {
  const bool only_the_process = choice.keep == CrashChoice::Keep::kAll && !choice.tear_at;
  return only_the_process ? answered : std::min(durable, answered);
}

uint64_t StoreTruth::Salt() const {
  uint64_t salt = answered * 31 + durable;
  for (size_t i = std::min(answered, durable); i < texts.size(); ++i) {
    salt = Hash64(texts[i], salt);
  }
  return salt * 1000003 + handed_out.value;
}

std::optional<size_t> StoreTruth::Find(const StoreDump& dump, size_t first) const {
  for (size_t i = states.size(); i > first; --i) {
    if (texts[i - 1] != dump.text) continue;
    const std::vector<uint64_t> known = states[i - 1].Sequences();
    const bool same = std::equal(
        known.begin(), known.end(), dump.sequences.begin(), dump.sequences.end(),
        [](uint64_t expected, uint64_t found) { return expected == 0 || expected == found; });
    if (same) return i - 1;
  }
  return std::nullopt;
}

// ---- Scripts. ----

std::string StoreScript::ToString() const {
  std::string text = durability == Durability::kSync ? "sync" : "buffered";
  text += "/" + std::to_string(base) + (own_families ? "/own/" : "/shared/");
  for (size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + words[i];
  return text;
}

std::optional<StoreScript> StoreScript::Parse(const std::string& text) {
  StoreScript script;
  std::istringstream parts(text);
  std::string durability, base, families, word;
  if (!std::getline(parts, durability, '/') || !std::getline(parts, base, '/') ||
      !std::getline(parts, families, '/')) {
    return std::nullopt;
  }
  if (durability != "sync" && durability != "buffered") return std::nullopt;
  if (durability == "buffered") script.durability = Durability::kBuffered;
  script.base = static_cast<uint32_t>(std::strtoul(base.c_str(), nullptr, 10));
  script.own_families = families == "own";
  while (parts >> word) {
    if (std::string(kLetters).find(word[0]) == std::string::npos) return std::nullopt;
    script.words.push_back(word);
  }
  return script.base < kStoreBases ? std::optional(script) : std::nullopt;
}

namespace {

class Run {
 public:
  Run(const StoreScript& script, SimDisk disk, StoreTruth truth, uint64_t clock_ms,
      const StoreCrashPoint& crash_point)
      : script_(script),
        crash_point_(crash_point),
        fs_(std::move(disk), SimStoreDisk()),
        truth_(std::move(truth)) {
    clock_.Advance(clock_ms);
    clock_ms_ = clock_ms;
    Observe();
  }

  ~Run() { StopInItsTracks(); }

  std::string Go() {
    Status status = Open();
    for (word_ = 0; status.ok() && broken_.empty() && word_ < script_.words.size(); ++word_) {
      status = Do(script_.words[word_]).WithContext(script_.words[word_]);
    }
    const std::string problem = broken_.empty() && !status.ok() ? status.ToString() : broken_;
    if (!problem.empty() || !crash_point_) return problem;
    const SimDisk disk = fs_.disk();
    crash_point_({.operation = nullptr,
                  .index = fs_.operations() + 1,
                  .disk = disk,
                  .truth = truth_,
                  .word = script_.words.size()});
    return problem;
  }

  std::string GoWithFaults(const std::vector<SimFault>& faults, const CrashChoice& choice,
                           StoreFaultReport& report) {
    power_cut_ = choice;
    for (const SimFault& fault : faults) fs_.Inject(fault);
    size_t before = truth_.states.size();
    report.error = Open();
    for (word_ = 0; report.error.ok() && broken_.empty() && word_ < script_.words.size(); ++word_) {
      before = truth_.states.size();
      report.error = Do(script_.words[word_]);
      if (!report.error.ok() && IsNoChange(script_.words[word_][0], report.error)) Forget(before);
    }
    if (broken_.empty() && !report.error.ok()) ExpectTyped(report.error);
    if (broken_.empty() && !report.error.ok())
      LookWith(std::all_of(faults.begin(), faults.end(), OnlyChanges));
    report.hits = fs_.faults_hit();
    fs_.ClearFaults();
    if (broken_.empty() && !report.error.ok()) report.read_only = LookWithout();
    if (!broken_.empty()) return broken_;
    const Status reopened = Restart(script_.durability == Durability::kSync ? 'O' : 'K');
    return broken_.empty() && !reopened.ok() ? "reopening: " + reopened.ToString() : broken_;
  }

  // As it is now: the process died.
  StoreBase Leave() {
    StopInItsTracks();
    fs_.KillProcess();
    return {.disk = fs_.disk(), .truth = truth_, .clock_ms = clock_ms_};
  }

 private:
  // --- States. ---

  const StoreModel& now() const { return truth_.states.back(); }

  // A change begins: from here on it may be there or not.
  void Begin(StoreModel next) {
    truth_.texts.push_back(next.Text());
    truth_.states.push_back(std::move(next));
  }

  // Everything begun is answered; and durable too, if that is what an answer means or `durable`.
  void Answered(bool durable) {
    truth_.answered = truth_.states.size() - 1;
    if (durable || script_.durability == Durability::kSync) truth_.durable = truth_.answered;
    const size_t keep = std::min(truth_.answered, truth_.durable);
    truth_.states.erase(truth_.states.begin(), truth_.states.begin() + static_cast<long>(keep));
    truth_.texts.erase(truth_.texts.begin(), truth_.texts.begin() + static_cast<long>(keep));
    truth_.answered -= keep;
    truth_.durable -= keep;
  }

  // The number of the change that this write of the newest state made.
  void NoteSequence(const std::string& table, int64_t id, const WriteResult& result) {
    if (result.outcome != WriteOutcome::kApplied) return;
    truth_.handed_out = std::max(truth_.handed_out, result.sequence);
    const auto stream = now().tables.at(table).stream;
    if (!stream) return;
    auto& records = truth_.states.back().streams[*stream].records;
    for (auto record = records.rbegin(); record != records.rend(); ++record) {
      if (record->id != id) continue;
      record->sequence = result.sequence;
      return;
    }
  }

  // --- Faults. ---

  // Whether the error says that the word changed nothing. Upkeep and restarts are several changes.
  static bool IsNoChange(char letter, const Status& error) {
    return error.code() != StatusCode::kOutcomeUnknown &&
           std::string("MKOQ").find(letter) == std::string::npos;
  }

  void Forget(size_t keep) {
    truth_.states.resize(keep);
    truth_.texts.resize(keep);
  }

  void ExpectTyped(const Status& error) {
    constexpr StatusCode kExpected[] = {StatusCode::kIoError, StatusCode::kNoSpace,
                                        StatusCode::kReadOnly, StatusCode::kOutcomeUnknown};
    if (std::find(std::begin(kExpected), std::end(kExpected), error.code()) ==
        std::end(kExpected)) {
      (void)Broken("an error of another kind: " + error.ToString());
    }
  }

  static bool OnlyChanges(const SimFault& fault) {
    const auto changes = [](SimCall call) { return call <= kLastMutatingCall; };
    return fault.mutating_only ||
           (!fault.calls.empty() && std::all_of(fault.calls.begin(), fault.calls.end(), changes));
  }

  // Reads while the faults are there, which may be of calls that change the disk alone: what they
  // show is answered.
  void LookWith(bool only_changes) {
    if (!store_) return;
    const auto dump = DumpStore(*store_);
    if (dump.ok()) return Adopt(*dump, "with the fault");
    ExpectTyped(dump.status());
    const bool goes_on = only_changes && dump.status().code() != StatusCode::kOutcomeUnknown;
    if (goes_on) (void)Broken("reads do not go on: " + dump.status().ToString());
  }

  // When the fault is gone: reads and writes. True: the store takes no more of these.
  bool LookWithout() {
    if (!store_) return false;
    const auto dump = DumpStore(*store_);
    if (dump.ok()) Adopt(*dump, "without the fault");
    if (!dump.ok() && dump.status().code() != StatusCode::kOutcomeUnknown) {
      (void)Broken("reads do not go on without the fault: " + dump.status().ToString());
    }
    for (const char* word : {"Pa1", "T2", "C", "M", "Pb2"}) {
      if (!broken_.empty()) return false;
      const size_t before = truth_.states.size();
      const Status status = Do(word);
      if (status.ok()) continue;
      if (IsNoChange(word[0], status)) Forget(before);
      // A failure that was kept back (the second copy of the guard's record) shows now, and then
      // every write is refused.
      if (!IsOfReadOnly(status)) (void)store_->Checkpoint().ok();
      if (!IsOfReadOnly(status) &&
          !IsOfReadOnly(store_->CreateTable({.name = "one-more", .keys = kRowKeys}).status()))
        (void)Broken(std::string(word) + " without the fault: " + status.ToString());
      return true;
    }
    return false;
  }

  static bool IsOfReadOnly(const Status& status) {
    return status.code() == StatusCode::kReadOnly || status.code() == StatusCode::kOutcomeUnknown;
  }

  void Adopt(const StoreDump& dump, const std::string& when) {
    const auto found =
        truth_.Find(dump, opening_ ? std::min(truth_.answered, truth_.durable) : truth_.answered);
    if (!found) {
      (void)Broken(when + ": " + FirstDifference(truth_.texts.back(), dump.text));
      return;
    }
    // What comes later than what is shown may still be there, if nobody knows; but not after an
    // opening, which decides.
    if (opening_) Forget(*found + 1);
    truth_.answered = *found;
    if (opening_ || script_.durability == Durability::kSync) {
      truth_.durable = std::max(truth_.durable, *found);
    }
    opening_ = false;
  }

  // --- The store's life. ---

  void Observe() {
    if (!crash_point_) return;
    fs_.SetObserver([this](const SimOperation& operation) {
      crash_point_({.operation = &operation,
                    .index = operation.index,
                    .disk = operation.disk,
                    .truth = truth_,
                    .word = word_});
    });
  }

  void StopInItsTracks() {
    fs_.SetObserver(nullptr);
    if (!store_) return;
    fs_.CutPowerAt(1, CrashMoment::kBefore);
    store_.reset();
  }

  Status Open() {
    StoreOptions options = SimStoreOptions(fs_, clock_, script_.durability);
    if (script_.own_families) options.shared_table_bytes_max = 0;
    auto opened = Store::Open(kSimStoreDirectory, options);
    if (!opened.ok()) return opened.status().WithContext("open");
    store_ = std::move(*opened);
    opening_ = true;
    const auto dump = DumpStore(*store_);
    if (!dump.ok()) return dump.status().WithContext("read after opening");
    const auto found = truth_.Find(*dump, std::min(truth_.answered, truth_.durable));
    if (!found) return Broken("after opening: " + FirstDifference(truth_.texts.back(), dump->text));
    truth_.states.resize(*found + 1);
    truth_.texts.resize(*found + 1);
    TAILRACE_ASSIGN_OR_RETURN(const StoreStats stats, store_->Stats());
    if (stats.epoch <= truth_.epoch) return Broken("the epoch did not rise");
    truth_.epoch = stats.epoch;
    opening_ = false;
    // What an opening shows it has made durable.
    Answered(true);
    return Status::Ok();
  }

  Status Restart(char how) {
    if (how == 'Q') {
      const Status closed = store_->Close();
      store_.reset();
      if (!closed.ok()) return closed;
      Answered(true);
      return Open();
    }
    StopInItsTracks();
    if (how == 'O') {
      fs_.CutPower(power_cut_);
      truth_.answered = truth_.durable;
    } else {
      fs_.KillProcess();
    }
    Observe();
    return Open();
  }

  Status ReadAll() {
    const auto dump = DumpStore(*store_);
    if (!dump.ok()) return dump.status();
    if (!truth_.Find(*dump, truth_.states.size() - 1)) {
      return Broken(FirstDifference(truth_.texts.back(), dump->text));
    }
    Answered(false);  // It was shown.
    return Status::Ok();
  }

  // --- Words. ---

  Status Do(const std::string& word) {
    const char letter = word[0];
    const std::string table = word.size() > 1 && !IsDigit(word[1]) ? Name(word[1]) : "";
    const int64_t id = word.size() > 1 && IsDigit(word.back()) ? word.back() - '0' : 0;
    switch (letter) {
      case 'T':
        return Transact(id);
      case 'R':
        return ReadAll();
      case 'S':
        return ToggleStream(table);
      case 'L':
        return Split(table);
      case 'I':
        return ToggleIndex();
      case 'X':
        return ToggleTable(table);
      case 'C':
        return Outcome(store_->Checkpoint(), true);
      case 'A':
        clock_.Advance(2 * kRetentionMs);
        clock_ms_ += 2 * kRetentionMs;
        return Status::Ok();
      case 'M':
        return Maintain();
      case 'W':
        return Consume();
      case 'K':
      case 'O':
      case 'Q':
        return Restart(letter);
      default:
        return Write(letter, table, id);
    }
  }

  static bool IsDigit(char letter) { return letter >= '0' && letter <= '9'; }
  static std::string Name(char table) { return std::string("table-") + table; }

  Status Outcome(const Status& status, bool durable = false) {
    if (!status.ok()) return status;
    Answered(durable);
    return Status::Ok();
  }

  // Differs from word to word.
  StoreRow DrawRow(bool large) {
    const auto count = static_cast<int64_t>(++rows_);
    return {.count = count,
            .color = "rg-"[rows_ % 3],
            .text_bytes = large ? 1200u : static_cast<uint32_t>(20 + rows_ % 2 * 60)};
  }

  Status Write(char letter, const std::string& table, int64_t id) {
    if (!now().tables.contains(table)) return Status::Ok();
    StoreModel next = now();
    const auto& rows = next.tables.at(table).rows;
    std::optional<StoreRow> row = DrawRow(letter == 'B');
    if (letter == 'U' && rows.contains(id)) {
      row = rows.at(id);
      ++row->count;
    } else if (letter == 'D') {
      row.reset();
    }
    next.Set(table, id, row, clock_.WallMs());
    Begin(std::move(next));
    const auto result = Send(letter, table, id, row);
    if (!result.ok()) return result.status();
    NoteSequence(table, id, *result);
    if (letter != 'N') Answered(false);
    return Status::Ok();
  }

  Result<WriteResult> Send(char letter, const std::string& table, int64_t id,
                           const std::optional<StoreRow>& row) {
    if (!row) return store_->Delete(table, KeyOfRow(id));
    if (letter == 'U') {
      return store_->Update(table, KeyOfRow(id), [&](std::optional<Item>& item) {
        item = ItemOf(id, *row);
        return Status::Ok();
      });
    }
    const WaitFor wait = letter == 'N' ? WaitFor::kNothing : WaitFor::kSafe;
    return store_->Put(table, ItemOf(id, *row), {.wait = wait});
  }

  Status Transact(int64_t id) {
    const std::string a = Name('a'), b = Name('b');
    if (!now().tables.contains(a) || !now().tables.contains(b)) return Status::Ok();
    StoreModel next = now();
    const auto& rows = next.tables.at(a).rows;
    StoreRow updated = rows.contains(id) ? rows.at(id) : StoreRow{};
    ++updated.count;
    const StoreRow put = DrawRow(false);
    next.Set(a, id, updated, clock_.WallMs());
    next.Set(b, id, put, clock_.WallMs());
    next.Set(a, id + 1, std::nullopt, clock_.WallMs());
    Begin(std::move(next));
    const auto result = store_->Transact({WriteRequest::Update(a, KeyOfRow(id),
                                                               [&](std::optional<Item>& item) {
                                                                 item = ItemOf(id, updated);
                                                                 return Status::Ok();
                                                               }),
                                          WriteRequest::Put(b, ItemOf(id, put)),
                                          WriteRequest::Delete(a, KeyOfRow(id + 1))});
    if (!result.ok()) return result.status();
    NoteSequence(a, id, result->items[0]);
    NoteSequence(b, id, result->items[1]);
    NoteSequence(a, id + 1, result->items[2]);
    Answered(false);
    return Status::Ok();
  }

  ViewType DrawView() { return static_cast<ViewType>(4 - now().streams.size() % 4); }

  Status ToggleStream(const std::string& table) {
    if (!now().tables.contains(table)) return Status::Ok();
    StoreModel next = now();
    if (now().tables.at(table).stream) {
      next.Disable(table);
      Begin(std::move(next));
      return Outcome(store_->DisableStream(table));
    }
    const ViewType view = DrawView();
    next.Enable(table, view);
    Begin(std::move(next));
    return Outcome(store_->EnableStream(table, view).status());
  }

  Status Split(const std::string& table) {
    constexpr size_t kOpenMax = 3;
    if (!now().tables.contains(table) || !now().tables.at(table).stream) return Status::Ok();
    StoreModel next = now();
    auto& open = next.streams[*next.tables.at(table).stream].open;
    if (open.size() >= kOpenMax) return Status::Ok();
    const auto described = store_->DescribeTable(table);
    if (!described.ok()) return described.status();
    const auto info = store_->DescribeStream(*described->latest_stream);
    if (!info.ok()) return info.status();
    const auto [first, last] = open.front();
    const uint64_t middle = first + (last - first) / 2;
    open.front() = {first, middle};
    open.insert(open.begin() + 1, {middle + 1, last});
    for (const ShardInfo& shard : info->shards) {
      if (shard.ending || shard.hash_first != first) continue;
      Begin(std::move(next));
      return Outcome(store_->SplitShard(info->id, shard.id).status());
    }
    return Broken("the stream has not the shard that is to be split");
  }

  Status ToggleIndex() {
    const std::string table = Name('a');
    if (!now().tables.contains(table)) return Status::Ok();
    StoreModel next = now();
    auto& index = next.tables.at(table).index;
    const bool drop = index != StoreModel::Index::kNone;
    index = drop ? StoreModel::Index::kNone : StoreModel::Index::kFilling;
    Begin(std::move(next));
    return Outcome(drop ? store_->DropIndex(table, kColorIndex)
                        : store_->CreateIndex(table, kIndex).status());
  }

  Status ToggleTable(const std::string& table) {
    StoreModel next = now();
    if (now().tables.contains(table)) {
      if (next.tables.at(table).stream) next.Disable(table);
      next.tables.erase(table);
      Begin(std::move(next));
      return Outcome(store_->DropTable(table));
    }
    const ViewType view = DrawView();
    next.tables[table];
    next.Enable(table, view);
    Begin(std::move(next));
    return Outcome(store_->CreateTable({.name = table, .keys = kRowKeys, .stream = view}).status());
  }

  Status Consume() {
    const std::string table = Name('a');
    if (!now().tables.contains(table) || !now().tables.at(table).stream) return Status::Ok();
    TAILRACE_ASSIGN_OR_RETURN(const TableInfo info, store_->DescribeTable(table));
    TAILRACE_ASSIGN_OR_RETURN(
        const auto worker, ConsumerWorker::Open(*store_, "consumer", *info.latest_stream, "worker",
                                                {.start = ConsumerStart::kTrimHorizon}));
    TAILRACE_ASSIGN_OR_RETURN(const auto batch, worker->Next(0));
    return batch ? worker->Checkpoint(*batch).status() : Status::Ok();
  }

  // Trims what expired, then fills the index.
  Status Maintain() {
    const size_t before = truth_.states.size() - 1;
    StoreModel trimmed = now();
    trimmed.Trim(clock_.WallMs(), kRetentionMs);
    Begin(std::move(trimmed));
    StoreModel filled = now();
    for (auto& [name, table] : filled.tables) {
      if (table.index == StoreModel::Index::kFilling) table.index = StoreModel::Index::kActive;
    }
    Begin(std::move(filled));
    const Status confirmed = store_->ConfirmDowntime();
    if (!confirmed.ok()) return confirmed;
    const Status maintained = store_->RunMaintenance();
    if (!maintained.ok()) return maintained;
    truth_.durable = std::max(truth_.durable, before);  // What upkeep is for in kBuffered.
    Answered(false);
    return Status::Ok();
  }

  // A promise that the store did not keep.
  Status Broken(const std::string& promise) {
    if (broken_.empty()) broken_ = promise;
    return Corruption(promise);
  }

  const StoreScript& script_;
  const StoreCrashPoint& crash_point_;
  SimFs fs_;
  SimClock clock_;
  uint64_t clock_ms_ = 0;
  StoreTruth truth_;
  uint64_t rows_ = 0;
  size_t word_ = 0;
  bool opening_ = false;  // What the last opening has found was not seen yet.
  std::string broken_;
  CrashChoice power_cut_{.keep = CrashChoice::Keep::kNone};
  std::unique_ptr<Store> store_;
};

std::vector<std::string> BaseWords(uint32_t base) {
  const std::vector<std::string> common = {"Xa", "Xb", "I", "M", "Pa1", "Pa2", "Pb1", "T3", "Pa4"};
  std::vector<std::string> words = common;
  if (base == 1) words.push_back("Q");
  if (base == 2) {
    words.insert(words.end(), {"C", "Ba5", "Bb5", "La", "Pa1", "Da2", "Sb", "Pb2", "T1"});
  }
  return words;
}

}  // namespace

const StoreBase& BaseOf(const StoreScript& script) {
  static std::map<std::string, StoreBase> bases;
  StoreScript making = script;
  making.words.clear();
  const std::string name = making.ToString();
  const auto found = bases.find(name);
  if (found != bases.end()) return found->second;
  StoreBase base{.disk = SimDisk(SimStoreDisk().disk), .truth = {}, .clock_ms = 0};
  if (script.base != 0) {
    making.words = BaseWords(script.base);
    const StoreCrashPoint none;
    Run run(making, base.disk, base.truth, 0, none);
    const std::string problem = run.Go();
    TAILRACE_CHECK(problem.empty(), problem);
    base = run.Leave();
  }
  return bases.emplace(name, std::move(base)).first->second;
}

std::string RunStoreScriptWithFaults(const StoreScript& script, const std::vector<SimFault>& faults,
                                     const CrashChoice& choice, StoreFaultReport& report) {
  const StoreBase& base = BaseOf(script);
  const StoreCrashPoint none;
  Run run(script, base.disk, base.truth, base.clock_ms, none);
  return run.GoWithFaults(faults, choice, report);
}

std::string RunStoreScript(const StoreScript& script, const StoreCrashPoint& crash_point) {
  const StoreBase& base = BaseOf(script);
  return Run(script, base.disk, base.truth, base.clock_ms, crash_point).Go();
}

}  // namespace tailrace::test
