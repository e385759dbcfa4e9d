// What a power cut leaves of a simulated disk, and the enumeration of such states.
#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "tests/support/random.h"
#include "tests/support/sim_disk.h"
#include "wal/check.h"

namespace tailrace::test {
namespace {

using Fill = CrashChoice::Fill;
using Keep = CrashChoice::Keep;

constexpr uint64_t kNone = ~0ull;

struct KeepName {
  Keep keep;
  std::string_view name;
};
constexpr KeepName kKeepNames[] = {
    {Keep::kNone, "none"},
    {Keep::kAll, "all"},
    {Keep::kPrefix, "prefix"},
    {Keep::kDropOne, "drop"},
    {Keep::kKeepOne, "keep"},
    {Keep::kUnits, "units"},
    {Keep::kPieces, "pieces"},
    {Keep::kRandomUnits, "random-units"},
    {Keep::kRandomPieces, "random-pieces"},
};
struct FillName {
  Fill fill;
  std::string_view name;
};
constexpr FillName kFillNames[] = {
    {Fill::kZeros, "zeros"}, {Fill::kOnes, "ones"}, {Fill::kOld, "old"}, {Fill::kCut, "cut"}};

}  // namespace

std::string CrashChoice::ToString() const {
  std::ostringstream text;
  for (const auto& [each, name] : kKeepNames) {
    if (each == keep) text << name;
  }
  text << ':' << argument;
  for (const auto& [each, name] : kFillNames) {
    if (each == fill) text << ',' << name;
  }
  if (tear_at) text << ",tear:" << *tear_at;
  return text.str();
}

std::optional<CrashChoice> CrashChoice::Parse(const std::string& text) {
  CrashChoice choice;
  bool known = false;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t colon = std::min(part.find(':'), part.size());
    const std::string name = part.substr(0, colon);
    const uint64_t number =
        colon < part.size() ? std::strtoull(part.c_str() + colon + 1, nullptr, 10) : 0;
    bool matched = name == "tear";
    if (matched) choice.tear_at = number;
    for (const auto& each : kKeepNames) {
      if (each.name != name) continue;
      choice.keep = each.keep;
      choice.argument = number;
      matched = known = true;
    }
    for (const auto& each : kFillNames) {
      if (each.name != name) continue;
      choice.fill = each.fill;
      matched = true;
    }
    if (!matched) return std::nullopt;
  }
  return known ? std::optional(choice) : std::nullopt;
}

// Decides piece by piece what stays.
class SimDisk::Chooser {
 public:
  explicit Chooser(const CrashChoice& choice) : choice_(choice) {
    if (choice.keep == Keep::kRandomPieces) {
      // Mostly lost, half and half, or mostly kept: each finds other mistakes.
      constexpr uint64_t kShares[] = {32, 128, 224};
      share_ = kShares[MixSeed(choice.argument, kNone) % std::size(kShares)];
    }
  }

  // The units come in order, each followed by its pieces in order.
  void BeginUnit() {
    ++unit_;
    const uint64_t argument = choice_.argument;
    switch (choice_.keep) {
      case Keep::kNone:
        whole_ = false;
        break;
      case Keep::kAll:
        whole_ = true;
        break;
      case Keep::kPrefix:
        whole_ = unit_ < argument;
        break;
      case Keep::kDropOne:
        whole_ = unit_ != argument;
        break;
      case Keep::kKeepOne:
        whole_ = unit_ == argument;
        break;
      case Keep::kUnits:
        whole_ = unit_ < 64 && ((argument >> unit_) & 1) != 0;
        break;
      case Keep::kRandomUnits:
        whole_ = (MixSeed(argument, unit_) & 1) != 0;
        break;
      case Keep::kPieces:
      case Keep::kRandomPieces:
        whole_ = std::nullopt;
        break;
    }
  }

  // Whether the unit stays or goes as a whole.
  std::optional<bool> whole() const { return whole_; }

  bool NextPiece() {
    const uint64_t piece = piece_++;
    if (whole_) return *whole_;
    if (choice_.keep == Keep::kPieces) return piece < 64 && ((choice_.argument >> piece) & 1) != 0;
    return (MixSeed(choice_.argument, piece) & 0xff) < share_;
  }

  // In an ordered directory nothing stays after the first change that was lost.
  bool InOrder(uint32_t order, bool keep) {
    if (order == 0) return keep;
    if (lost_.size() <= order) lost_.resize(order + 1);
    if (!keep) lost_[order] = true;
    return !lost_[order];
  }

 private:
  const CrashChoice& choice_;
  uint64_t share_ = 0;  // Of 256.
  uint64_t unit_ = kNone;
  uint64_t piece_ = 0;
  std::optional<bool> whole_;
  std::vector<bool> lost_;
};

uint64_t SimDisk::Sectors(const Unit& unit) {
  return (unit.end() - 1) / kSectorBytes - unit.offset / kSectorBytes + 1;
}

uint64_t SimDisk::Pieces(const Unit& unit) {
  switch (unit.kind) {
    case UnitKind::kWrite:
      return Sectors(unit) + (unit.grow_to != 0 ? 1 : 0);
    case UnitKind::kRename:
      return unit.order != 0 ? 1 : 2;
    default:
      return 1;
  }
}

uint64_t SimDisk::pending_pieces() const {
  uint64_t pieces = 0;
  for (const Cow<Unit>& unit : pending_) pieces += Pieces(*unit);
  return pieces;
}

size_t SimDisk::LastWrite() const {
  for (size_t i = pending_.size(); i > 0; --i) {
    if (pending_[i - 1]->kind == UnitKind::kWrite) return i - 1;
  }
  return pending_.size();
}

uint64_t SimDisk::last_write_bytes() const {
  const size_t last = LastWrite();
  return last < pending_.size() ? pending_[last]->data.size() : 0;
}

std::string SimDisk::Describe() const {
  constexpr std::string_view kKinds[] = {"write", "truncate", "extend", "link", "unlink", "rename"};
  std::ostringstream text;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const Unit& unit = *pending_[i];
    text << i << ": " << kKinds[static_cast<size_t>(unit.kind)] << ' ' << unit.path;
    if (unit.kind == UnitKind::kWrite) text << " [" << unit.offset << ", " << unit.end() << ')';
    if (unit.kind == UnitKind::kRename) text << " -> " << unit.target_name;
    if (unit.grow_to != 0) text << " size " << unit.grow_to;
    if (unit.untracked) text << " (its sync failed)";
    text << '\n';
  }
  return text.str();
}

void SimDisk::ApplyNames(Image& image, const Unit& unit, bool keep_first, bool keep_second) {
  switch (unit.kind) {
    case UnitKind::kLink:
      if (keep_first) SetEntry(image, unit.directory, unit.name, unit.inode);
      break;
    case UnitKind::kUnlink:
      if (keep_first) RemoveEntry(image, unit.directory, unit.name);
      break;
    default:
      if (keep_first) SetEntry(image, unit.target_directory, unit.target_name, unit.inode);
      if (keep_first && keep_second) RemoveEntry(image, unit.directory, unit.name);
      break;
  }
}

void SimDisk::Grow(SimContent& content, uint64_t size_bytes, Fill fill) const {
  const uint64_t old_bytes = content.size_bytes();
  if (size_bytes <= old_bytes) return;
  content.SetSize(size_bytes);
  if (fill == Fill::kOnes) content.Fill(old_bytes, size_bytes - old_bytes, '\xff');
  if (fill != Fill::kOld || stale_.size_bytes() <= old_bytes) return;
  std::string old(std::min(size_bytes, stale_.size_bytes()) - old_bytes, '\0');
  stale_.Read(old_bytes, old.data(), old.size());
  content.Write(old_bytes, old);
}

void SimDisk::ApplyWrite(Image& image, const Unit& unit, Fill fill, Chooser& chooser) const {
  const bool grow = unit.grow_to != 0 && chooser.NextPiece();
  const uint64_t sectors = Sectors(unit);
  uint64_t run = kNone;  // Begin of the bytes kept that are not written yet.
  const auto flush = [&](uint64_t end) {
    if (run == kNone) return;
    const auto part = ByteView(unit.data).substr(run - unit.offset, end - run);
    MutableNode(image, unit.inode).content.Write(run, part);
    run = kNone;
  };
  if (grow) Grow(MutableNode(image, unit.inode).content, unit.grow_to, fill);
  if (chooser.whole() && !*chooser.whole()) return;
  for (uint64_t i = 0; i < sectors; ++i) {
    const uint64_t begin = std::max(unit.offset, (unit.offset / kSectorBytes + i) * kSectorBytes);
    if (!chooser.NextPiece()) {
      flush(begin);
    } else if (run == kNone) {
      run = begin;
    }
  }
  flush(unit.end());
}

void SimDisk::ApplyUnit(Image& image, const Unit& unit, Fill fill, Chooser& chooser) const {
  switch (unit.kind) {
    case UnitKind::kWrite:
      ApplyWrite(image, unit, fill, chooser);
      break;
    case UnitKind::kTruncate:
      if (chooser.NextPiece()) {
        SimContent& content = MutableNode(image, unit.inode).content;
        content.SetSize(unit.grow_to);
        content.ClearFrom(unit.grow_to);
      }
      break;
    case UnitKind::kExtend:
      if (chooser.NextPiece()) {
        Grow(MutableNode(image, unit.inode).content, unit.grow_to, Fill::kZeros);
      }
      break;
    default: {
      const bool first = chooser.InOrder(unit.order, chooser.NextPiece());
      const bool two_pieces = Pieces(unit) == 2;
      ApplyNames(image, unit, first, two_pieces ? chooser.NextPiece() : first);
      break;
    }
  }
}

void SimDisk::ApplyTorn(Image& image, const Unit& unit, const CrashChoice& choice) const {
  SimContent& content = MutableNode(image, unit.inode).content;
  const uint64_t kept = std::min<uint64_t>(*choice.tear_at, unit.data.size());
  const uint64_t cut = unit.offset + kept;
  if (unit.grow_to != 0) Grow(content, choice.fill == Fill::kCut ? cut : unit.grow_to, choice.fill);
  content.Write(unit.offset, ByteView(unit.data).substr(0, kept));
  if (choice.fill == Fill::kZeros) content.Fill(cut, unit.end() - cut, '\0');
  if (choice.fill == Fill::kOnes) content.Fill(cut, unit.end() - cut, '\xff');
}

SimDisk SimDisk::Crash(const CrashChoice& choice) const {
  SimDisk after{Bare{}};
  after.options_ = options_;
  after.stale_ = stale_;
  after.next_inode_ = next_inode_;
  after.durable_ = durable_;
  const size_t torn = choice.tear_at ? LastWrite() : pending_.size();
  Chooser chooser(choice);
  for (size_t i = 0; i < pending_.size(); ++i) {
    chooser.BeginUnit();
    if (i == torn) {
      ApplyTorn(after.durable_, *pending_[i], choice);
    } else {
      ApplyUnit(after.durable_, *pending_[i], choice.fill, chooser);
    }
  }
  // Data whose growth was lost is out of reach.
  for (const Cow<Unit>& unit : pending_) {
    if (unit->kind != UnitKind::kWrite) continue;
    const uint64_t size_bytes = NodeOf(after.durable_, unit->inode).content.size_bytes();
    if (unit->end() > size_bytes)
      MutableNode(after.durable_, unit->inode).content.ClearFrom(size_bytes);
  }
  after.current_ = after.durable_;
  return after;
}

// ---- Enumeration. ----

namespace {

// Makes, hashes and hands out the states of one disk.
class Enumerator {
 public:
  Enumerator(const SimDisk& disk, const CrashPlan& plan, SeenStates& seen, uint64_t salt,
             const std::function<void(const CrashChoice&, const SimDisk&)>& visit)
      : disk_(disk), plan_(plan), seen_(seen), salt_(salt), visit_(visit) {}

  CrashCount Run() {
    Try({.keep = Keep::kNone});
    if (disk_.pending_units() == 0) return count_;
    Try({.keep = Keep::kAll});
    Units();
    Pieces();
    Tears();
    return count_;
  }

 private:
  void Try(const CrashChoice& choice) {
    if (plan_.wanted && !plan_.wanted(choice)) return;
    ++count_.choices;
    const SimDisk state = disk_.Crash(choice);
    if (!seen_.Add(state.Hash(), salt_)) return;
    ++count_.visited;
    visit_(choice, state);
  }

  void Units() {
    const uint64_t units = disk_.pending_units();
    if (units <= plan_.exhaustive_units_max) {
      for (uint64_t mask = 1; mask + 1 < (1ull << units); ++mask) {
        Try({.keep = Keep::kUnits, .argument = mask});
      }
      return;
    }
    for (uint64_t i = 1; i < units; ++i) Try({.keep = Keep::kPrefix, .argument = i});
    for (uint64_t i = 0; i < units; ++i) Try({.keep = Keep::kDropOne, .argument = i});
    for (uint64_t i = 0; i < units; ++i) Try({.keep = Keep::kKeepOne, .argument = i});
    for (uint64_t i = 0; i < plan_.random_states; ++i) {
      Try({.keep = Keep::kRandomUnits, .argument = MixSeed(plan_.seed, i), .fill = FillOf(i)});
    }
  }

  void Pieces() {
    const uint64_t pieces = disk_.pending_pieces();
    if (pieces <= plan_.exhaustive_pieces_max) {
      for (uint64_t mask = 1; mask + 1 < (1ull << pieces); ++mask) {
        for (const Fill fill : {Fill::kZeros, Fill::kOnes, Fill::kOld}) {
          Try({.keep = Keep::kPieces, .argument = mask, .fill = fill});
        }
      }
      return;
    }
    for (uint64_t i = 0; i < plan_.random_states; ++i) {
      Try({.keep = Keep::kRandomPieces, .argument = MixSeed(plan_.seed, ~i), .fill = FillOf(i)});
    }
  }

  void Tears() {
    const uint64_t bytes = disk_.last_write_bytes();
    if (bytes == 0 || plan_.tears_max == 0) return;
    // Odd, so that the cuts do not all fall on the same boundary.
    const uint64_t step = bytes <= plan_.tears_max ? 1 : bytes / plan_.tears_max | 1;
    for (uint64_t at = 0; at < bytes; at += step) {
      for (const Fill fill : {Fill::kCut, Fill::kZeros, Fill::kOnes, Fill::kOld}) {
        Try({.keep = Keep::kAll, .fill = fill, .tear_at = at});
      }
    }
  }

  static Fill FillOf(uint64_t i) { return static_cast<Fill>(i % 3); }

  const SimDisk& disk_;
  const CrashPlan& plan_;
  SeenStates& seen_;
  const uint64_t salt_;
  const std::function<void(const CrashChoice&, const SimDisk&)>& visit_;
  CrashCount count_;
};

}  // namespace

CrashCount ForEachCrashState(const SimDisk& disk, const CrashPlan& plan, SeenStates& seen,
                             uint64_t salt,
                             const std::function<void(const CrashChoice&, const SimDisk&)>& visit) {
  TAILRACE_CHECK(plan.exhaustive_units_max < 64 && plan.exhaustive_pieces_max < 64,
                 "a mask has 64 bits");
  return Enumerator(disk, plan, seen, salt, visit).Run();
}

}  // namespace tailrace::test
