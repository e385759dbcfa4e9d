// The fold over a store's journal, for programs that keep the state of a store elsewhere: a
// replica, an export, the oracle of a test. It is the fold that the store itself runs, live and in
// recovery.
//
//   class Copy : public ReplaySink { ... };  // Keeps items in a map, say.
//   Copy copy;
//   Replay replay(copy);
//   Status status = ReplayJournal(wal::FileSystem::Posix(), "/backup/games", replay);
//
// A journal keeps its frames until they are drained into RocksDB and their segment is reused: while
// a store is open that is about options.generation_bytes_max of writes later, and what was written
// last before it was closed is there until the next opening. So a replay begins with a store's
// first opening and goes on, with the same object, after each closing, or from copies of the
// directory that are made often enough; it notices when it came too late. Whoever wants items'
// changes only follows a stream instead.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/store.h"
#include "wal/journal.h"

namespace tailrace {

// What a replay tells its owner, in the journal's order, from within Replay::Apply. Tables that the
// store keeps for itself are not shown. It must not call the replay; nothing it was given is kept.
class ReplaySink {
 public:
  virtual ~ReplaySink() = default;

  // A table was made; it is empty.
  virtual void CreateTable(const TableInfo& table) = 0;

  // It was dropped, and its items with it.
  virtual void DropTable(const TableInfo& table) = 0;

  // The item with this key became `item` (absent: it was deleted) by the commit at `commit`. The
  // items of one commit follow each other and share its position.
  virtual void SetItem(const TableInfo& table, const Item& key, Lsn commit,
                       std::optional<Item> item) = 0;
};

// One thread at a time.
class Replay {
 public:
  explicit Replay(ReplaySink& sink);  // The sink outlives the replay.
  ~Replay();

  // Applies the next frame, as wal::ScanJournal (wal/journal.h) hands them out. Frames come in the
  // journal's order, from its first one on and without holes, the journal's own (epochs, marks,
  // padding) included; one that was applied already is passed over, so that a caller may hand out
  // the last ones again. Errors: kFailedPrecondition (the first frame is not the journal's first;
  // frames are missing before this one; an opening of the store took applied ones back),
  // kCorruption (it cannot be read, or does not fit what came before), kUnsupported (of a newer
  // version). After an error every call gives the same one: begin anew, with another replay.
  Status Apply(const wal::Frame& frame) noexcept;

  // Where the last applied frame ends; 0 before the first.
  Lsn end() const;

  // The tables as of end(), by name.
  std::vector<TableInfo> tables() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Hands the frames in a store's directory to `replay`, up to the last valid one; those that it has
// applied already are passed over. The store is
// closed, or died, or the directory is a copy. Changes nothing and takes no lock. After an unclean
// end the last frames may be some that nobody was told to be safe, and that an opening of the store
// would cut. Errors: those of Apply; kNotFound (no journal there); kCorruption (damage before the
// end; nothing was applied); the file system's.
Status ReplayJournal(wal::FileSystem& fs, const std::string& directory, Replay& replay) noexcept;

}  // namespace tailrace
