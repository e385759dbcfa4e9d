// The state of a simulated disk: what is durable, what the process sees, and every step between the
// two.
//
// A write, a size change, a new name or a removed one is a *unit*: pending until a sync covers it.
// A power cut keeps some pending units and loses the others, in any combination; Crash makes the
// state that a given combination leaves. A unit falls into *pieces*, which the disk may also keep
// or lose one by one: a write into its 512-byte sectors and the growth of the file, a rename into
// the new name and the disappearance of the old (never the second without the first: no file system
// loses the file). So a size may survive without the data behind it, and then zeros, old bytes or
// noise stand there.
//
// That is the weakest disk that the wal's own files are written for. Directories named in
// SimDiskOptions::ordered_directories behave like those of a journaling file system, which is what
// RocksDB is written for: names change in order, so a power cut keeps a prefix of the changes, and
// a rename is one step. File data is as weak there as everywhere.
//
// A SimDisk is a value: copying it shares everything (copy on write), so a state costs what it
// changes. Thread-compatible.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/support/cow.h"
#include "tests/support/sim_content.h"
#include "wal/fs.h"
#include "wal/status.h"

namespace tailrace::test {

// The unit within which a disk does not tear.
inline constexpr uint64_t kSectorBytes = 512;

enum class InodeId : uint32_t {};

struct SimDiskOptions {
  // Paths of directories whose names, and those below, change in order.
  std::vector<std::string> ordered_directories = {};
};

// Which pending units a power cut keeps, and what stands where data was lost. ToString and Parse
// give and take one word, so that a failing state can be named on a command line.
struct CrashChoice {
  enum class Keep : uint8_t {
    kNone,
    kAll,
    kPrefix,        // The first `argument` units.
    kDropOne,       // All but unit `argument`.
    kKeepOne,       // Only unit `argument`.
    kUnits,         // The units in the bit mask `argument`.
    kPieces,        // The pieces in the bit mask `argument`, counted through all units.
    kRandomUnits,   // About half of the units, drawn from the seed `argument`.
    kRandomPieces,  // A share of the pieces, the share too drawn from the seed `argument`.
  };
  enum class Fill : uint8_t {
    kZeros,
    kOnes,  // 0xff.
    kOld,   // What was there before; in new space, what the file last removed or cut had there.
    kCut,   // Only with tear_at: the file ends there if the write had made it grow, else kOld.
  };

  Keep keep = Keep::kNone;
  uint64_t argument = 0;

  // What the new space of a file that grew by writing holds where no kept piece lies.
  Fill fill = Fill::kZeros;

  // The last pending write reached the disk up to this byte of it; the rest of it is as `fill`
  // says.
  std::optional<uint64_t> tear_at = std::nullopt;

  std::string ToString() const;
  static std::optional<CrashChoice> Parse(const std::string& text);
  friend bool operator==(const CrashChoice&, const CrashChoice&) = default;
};

class SimDisk {
 public:
  // An empty root directory.
  explicit SimDisk(SimDiskOptions options = {});

  // --- What a power cut leaves. ---

  // The disk after a power cut. Nothing is pending there.
  SimDisk Crash(const CrashChoice& choice) const;

  uint64_t pending_units() const { return pending_.size(); }
  uint64_t pending_pieces() const;

  // Bytes of the last pending write; 0 without one.
  uint64_t last_write_bytes() const;

  // One line for each pending unit.
  std::string Describe() const;

  // Equal for trees that a process cannot tell apart (hard links aside): names, sizes, bytes.
  uint64_t Hash() const;

  // --- The tree as the process sees it, for tests. ---

  // The whole content of a file. kNotFound, kIoError (a directory).
  Result<std::string> Contents(const std::string& path) const;

  // Damages a file: overwrites bytes within its size, durably. Errors as Contents.
  Status Patch(const std::string& path, uint64_t offset, ByteView bytes);

  // Paths of all files, sorted.
  std::vector<std::string> Files() const;

  // Makes everything durable.
  void SyncAll();

  // Files and directories that it remembers, those without a name included.
  uint64_t inodes() const { return current_.size(); }

  // --- Primitives for SimFs. Arguments must be what they say: a breach stops the process. ---

  struct Place {
    InodeId directory{};
    std::string name;  // Empty for the root.
    std::optional<InodeId> inode;
  };
  // Where a path leads. kNotFound when its directory is missing, kIoError when that is a file.
  Result<Place> Find(const std::string& path) const;

  InodeId root() const { return kRoot; }
  bool IsDirectory(InodeId inode) const { return NodeOf(current_, inode).is_directory; }
  const SimContent& ContentOf(InodeId inode) const { return NodeOf(current_, inode).content; }
  std::vector<wal::DirectoryEntry> List(InodeId directory) const;

  // Bytes taken by all files that have a name or that `is_open` names, in whole blocks.
  uint64_t UsedBytes(const std::function<bool(InodeId)>& is_open) const;

  // Pending changes. `path` is for Describe.
  InodeId Create(const Place& place, bool is_directory, const std::string& path);
  void Link(const Place& place, InodeId inode, const std::string& path);
  void Unlink(const Place& place, const std::string& path);
  void Rename(const Place& source, const Place& target, const std::string& path);
  void Write(InodeId inode, uint64_t offset, ByteView bytes, const std::string& path);
  void Truncate(InodeId inode, uint64_t size_bytes, const std::string& path);
  void Extend(InodeId inode, uint64_t size_bytes, const std::string& path);  // With zeros.

  // What a sync makes durable: a file, or its size and a range of it, or the names in a directory
  // (in an ordered directory also all earlier changes of names there).
  void SyncFile(InodeId inode);
  void SyncRange(InodeId inode, uint64_t offset, uint64_t bytes);
  void SyncDirectory(InodeId directory);

  // After a failed sync: pending writes of the file stay uncertain for ever, later syncs included.
  void LoseTrack(InodeId inode);

  // Frees files that have no name any more, except those that `is_open` names.
  void CollectGarbage(const std::function<bool(InodeId)>& is_open);

 private:
  static constexpr InodeId kRoot{1};
  static constexpr uint32_t kGarbageMin = 16;  // Names removed before it is worth looking.

  struct Entry {
    std::string name;
    InodeId inode{};
  };
  struct Node : Shared {
    bool is_directory = false;
    SimContent content;          // Of a file. Bytes beyond the size are zero.
    std::vector<Entry> entries;  // Of a directory, sorted by name.
  };
  using Image = std::vector<std::pair<InodeId, Cow<Node>>>;  // Sorted by inode.

  enum class UnitKind : uint8_t { kWrite, kTruncate, kExtend, kLink, kUnlink, kRename };
  struct Unit : Shared {
    bool IsOfNames() const { return kind >= UnitKind::kLink; }
    uint64_t end() const { return offset + data.size(); }

    UnitKind kind{};
    bool untracked = false;  // kWrite: see LoseTrack.
    uint32_t order = 0;      // Names: 1 + index in ordered_directories, or 0.
    InodeId inode{};         // The file, or what the name leads or led to.
    uint64_t offset = 0;     // kWrite.
    std::string data;        // kWrite.
    uint64_t grow_to =
        0;                // kWrite: the size it makes, or 0 when it fits. kTruncate, kExtend: size.
    InodeId directory{};  // Names; kRename: of the source.
    std::string name;
    InodeId target_directory{};  // kRename.
    std::string target_name;
    std::string path;
  };
  class Chooser;
  struct Bare {};

  explicit SimDisk(Bare) {}

  static size_t IndexOf(const Image& image, InodeId inode);
  static const Node& NodeOf(const Image& image, InodeId inode);
  static Node& MutableNode(Image& image, InodeId inode);
  static const Entry* FindEntry(const Node& directory, const std::string& name);
  static void SetEntry(Image& image, InodeId directory, const std::string& name, InodeId inode);
  static void RemoveEntry(Image& image, InodeId directory, const std::string& name);
  static bool AppendRemainder(const Unit& unit, uint64_t from, uint64_t to,
                              std::vector<Cow<Unit>>& units);
  static void DropWrites(std::vector<Cow<Unit>>& units, InodeId inode, uint64_t from, uint64_t to);
  static uint64_t Sectors(const Unit& unit);
  static uint64_t Pieces(const Unit& unit);
  static void ApplyNames(Image& image, const Unit& unit, bool keep_first, bool keep_second);

  uint64_t HashOf(InodeId inode) const;
  uint32_t OrderOf(const std::string& path) const;
  void Add(Unit unit);
  void SettleNames(Cow<Unit> unit, InodeId directory, std::vector<Cow<Unit>>& kept);
  size_t LastWrite() const;
  void Grow(SimContent& content, uint64_t size_bytes, CrashChoice::Fill fill) const;
  void ApplyUnit(Image& image, const Unit& unit, CrashChoice::Fill fill, Chooser& chooser) const;
  void ApplyWrite(Image& image, const Unit& unit, CrashChoice::Fill fill, Chooser& chooser) const;
  void ApplyTorn(Image& image, const Unit& unit, const CrashChoice& choice) const;

  std::shared_ptr<const SimDiskOptions> options_;  // The same in all states of one disk.
  Image durable_;
  Image current_;
  std::vector<Cow<Unit>> pending_;
  SimContent stale_;  // Of the file last removed or cut short.
  uint32_t next_inode_ = 2;
  uint32_t names_removed_ = 0;
};

// --- Enumeration. ---

// Which states ForEachCrashState makes of a disk with n pending units.
struct CrashPlan {
  // Up to this n: all 2^n subsets of the units. Above: none, all, every prefix, every single drop,
  // every single keep, and `random_states`.
  uint32_t exhaustive_units_max = 12;

  // Up to this number of pieces: all their subsets too. Above: `random_states`.
  uint32_t exhaustive_pieces_max = 10;

  uint32_t random_states = 128;

  // Cuts of the last write, each with the four fills: at every byte while it has no more than this,
  // else so many, evenly spread. 0: none.
  uint64_t tears_max = 8192;

  uint64_t seed = 1;

  // Asked before a state is made, which costs more than to draw lots: false leaves it out. None:
  // all are wanted.
  std::function<bool(const CrashChoice&)> wanted = nullptr;
};

// States already visited. `salt` stands for what the test knows besides the disk (say, how many
// writes were acknowledged): the same disk is another case under another salt.
class SeenStates {
 public:
  // False when it was there.
  bool Add(uint64_t state_hash, uint64_t salt) {
    return seen_.insert(state_hash ^ (salt * 0x9e3779b97f4a7c15ull)).second;
  }
  uint64_t size() const { return seen_.size(); }

 private:
  std::unordered_set<uint64_t> seen_;
};

struct CrashCount {
  uint64_t choices = 0;  // States made.
  uint64_t visited = 0;  // Of these, not seen before.

  CrashCount& operator+=(const CrashCount& other) {
    choices += other.choices;
    visited += other.visited;
    return *this;
  }
};

// Calls visit(choice, state) for each state of the plan that `seen` does not hold yet under `salt`.
CrashCount ForEachCrashState(const SimDisk& disk, const CrashPlan& plan, SeenStates& seen,
                             uint64_t salt,
                             const std::function<void(const CrashChoice&, const SimDisk&)>& visit);

}  // namespace tailrace::test
