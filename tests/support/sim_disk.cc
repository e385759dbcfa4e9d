// The tree, its pending units and what syncs make of them. What a power cut leaves: sim_crash.cc.
#include "tests/support/sim_disk.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "wal/check.h"
#include "wal/hash.h"

namespace tailrace::test {
namespace {

constexpr uint64_t kNoEnd = std::numeric_limits<uint64_t>::max();

// The path's parts, without empty ones and ".".
std::vector<std::string> SplitPath(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin && path.compare(begin, end - begin, ".") != 0) {
      parts.push_back(path.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return parts;
}

std::string Normalised(const std::string& path) {
  std::string normalised;
  for (const std::string& part : SplitPath(path)) normalised += "/" + part;
  return normalised;
}

std::vector<std::string> NormalisedAll(std::vector<std::string> paths) {
  for (std::string& path : paths) path = Normalised(path);
  return paths;
}

}  // namespace

// ---- The tree. ----

SimDisk::SimDisk(SimDiskOptions options)
    : options_(std::make_shared<const SimDiskOptions>(
          SimDiskOptions{.ordered_directories = NormalisedAll(options.ordered_directories)})) {
  Cow<Node> root = Cow<Node>::Make();
  root.Mutable().is_directory = true;
  durable_.emplace_back(kRoot, root);
  current_ = durable_;
}

size_t SimDisk::IndexOf(const Image& image, InodeId inode) {
  const auto found = std::lower_bound(image.begin(), image.end(), inode,
                                      [](const auto& node, InodeId id) { return node.first < id; });
  TAILRACE_CHECK(found != image.end() && found->first == inode, "no such inode");
  return static_cast<size_t>(found - image.begin());
}

const SimDisk::Node& SimDisk::NodeOf(const Image& image, InodeId inode) {
  return *image[IndexOf(image, inode)].second;
}

SimDisk::Node& SimDisk::MutableNode(Image& image, InodeId inode) {
  return image[IndexOf(image, inode)].second.Mutable();
}

const SimDisk::Entry* SimDisk::FindEntry(const Node& directory, const std::string& name) {
  const auto found =
      std::lower_bound(directory.entries.begin(), directory.entries.end(), name,
                       [](const Entry& entry, const std::string& key) { return entry.name < key; });
  return found != directory.entries.end() && found->name == name ? &*found : nullptr;
}

void SimDisk::SetEntry(Image& image, InodeId directory, const std::string& name, InodeId inode) {
  std::vector<Entry>& entries = MutableNode(image, directory).entries;
  const auto at =
      std::lower_bound(entries.begin(), entries.end(), name,
                       [](const Entry& entry, const std::string& key) { return entry.name < key; });
  if (at != entries.end() && at->name == name) {
    at->inode = inode;
  } else {
    entries.insert(at, Entry{.name = name, .inode = inode});
  }
}

void SimDisk::RemoveEntry(Image& image, InodeId directory, const std::string& name) {
  std::vector<Entry>& entries = MutableNode(image, directory).entries;
  std::erase_if(entries, [&](const Entry& entry) { return entry.name == name; });
}

Result<SimDisk::Place> SimDisk::Find(const std::string& path) const {
  Place place{.directory = kRoot, .name = "", .inode = kRoot};
  for (std::string& part : SplitPath(path)) {
    if (!place.inode) return NotFound(path + ": No such file or directory (simulated)");
    const Node& directory = NodeOf(current_, *place.inode);
    if (!directory.is_directory) return IoError(path + ": Not a directory (simulated)");
    place.directory = *place.inode;
    const Entry* entry = FindEntry(directory, part);
    place.inode = entry != nullptr ? std::optional(entry->inode) : std::nullopt;
    place.name = std::move(part);
  }
  return place;
}

std::vector<wal::DirectoryEntry> SimDisk::List(InodeId directory) const {
  std::vector<wal::DirectoryEntry> entries;
  for (const Entry& entry : NodeOf(current_, directory).entries) {
    entries.push_back({.name = entry.name, .is_directory = IsDirectory(entry.inode)});
  }
  return entries;
}

uint64_t SimDisk::UsedBytes(const std::function<bool(InodeId)>& is_open) const {
  std::vector<InodeId> named;
  for (const auto& [inode, node] : current_) {
    for (const Entry& entry : node->entries) named.push_back(entry.inode);
  }
  std::sort(named.begin(), named.end());
  uint64_t used = 0;
  for (const auto& [inode, node] : current_) {
    if (!std::binary_search(named.begin(), named.end(), inode) && !is_open(inode)) continue;
    used +=
        (node->content.size_bytes() + wal::kBlockBytes - 1) / wal::kBlockBytes * wal::kBlockBytes;
  }
  return used;
}

Result<std::string> SimDisk::Contents(const std::string& path) const {
  TAILRACE_ASSIGN_OR_RETURN(const Place place, Find(path));
  if (!place.inode) return NotFound(path);
  const Node& node = NodeOf(current_, *place.inode);
  if (node.is_directory) return IoError(path + ": is a directory");
  std::string bytes(node.content.size_bytes(), '\0');
  node.content.Read(0, bytes.data(), bytes.size());
  return bytes;
}

Status SimDisk::Patch(const std::string& path, uint64_t offset, ByteView bytes) {
  TAILRACE_ASSIGN_OR_RETURN(const Place place, Find(path));
  if (!place.inode) return NotFound(path);
  if (IsDirectory(*place.inode)) return IoError(path + ": is a directory");
  const uint64_t size_bytes = ContentOf(*place.inode).size_bytes();
  TAILRACE_CHECK(offset <= size_bytes && bytes.size() <= size_bytes - offset, "patch outside file");
  MutableNode(current_, *place.inode).content.Write(offset, bytes);
  MutableNode(durable_, *place.inode).content.Write(offset, bytes);
  return Status::Ok();
}

std::vector<std::string> SimDisk::Files() const {
  std::vector<std::string> files;
  const std::function<void(InodeId, const std::string&)> walk = [&](InodeId directory,
                                                                    const std::string& path) {
    for (const Entry& entry : NodeOf(current_, directory).entries) {
      const std::string child = path + "/" + entry.name;
      if (IsDirectory(entry.inode)) {
        walk(entry.inode, child);
      } else {
        files.push_back(child);
      }
    }
  };
  walk(kRoot, "");
  return files;
}

uint64_t SimDisk::HashOf(InodeId inode) const {
  const Node& node = NodeOf(current_, inode);
  if (!node.is_directory) return node.content.Hash();
  uint64_t hash = 0x7461696c'72616365ull;
  for (const Entry& entry : node.entries) hash = Hash64(entry.name, hash + HashOf(entry.inode));
  return hash;
}

uint64_t SimDisk::Hash() const { return HashOf(kRoot); }

// ---- Pending changes. ----

uint32_t SimDisk::OrderOf(const std::string& path) const {
  if (options_->ordered_directories.empty()) return 0;
  const std::string normalised = Normalised(path) + "/";
  for (size_t i = 0; i < options_->ordered_directories.size(); ++i) {
    if (normalised.starts_with(options_->ordered_directories[i] + "/")) {
      return static_cast<uint32_t>(i + 1);
    }
  }
  return 0;
}

void SimDisk::Add(Unit unit) { pending_.push_back(Cow<Unit>::Make(std::move(unit))); }

InodeId SimDisk::Create(const Place& place, bool is_directory, const std::string& path) {
  const InodeId inode{next_inode_++};
  Cow<Node> node = Cow<Node>::Make();
  node.Mutable().is_directory = is_directory;
  // Without a durable name it is out of reach, so the inode itself may be durable at once.
  durable_.emplace_back(inode, node);
  current_.emplace_back(inode, std::move(node));
  Link(place, inode, path);
  return inode;
}

void SimDisk::Link(const Place& place, InodeId inode, const std::string& path) {
  SetEntry(current_, place.directory, place.name, inode);
  Unit unit;
  unit.kind = UnitKind::kLink;
  unit.order = OrderOf(path);
  unit.inode = inode;
  unit.directory = place.directory;
  unit.name = place.name;
  unit.path = path;
  Add(std::move(unit));
}

void SimDisk::Unlink(const Place& place, const std::string& path) {
  stale_ = NodeOf(current_, *place.inode).content;
  RemoveEntry(current_, place.directory, place.name);
  ++names_removed_;
  Unit unit;
  unit.kind = UnitKind::kUnlink;
  unit.order = OrderOf(path);
  unit.inode = *place.inode;
  unit.directory = place.directory;
  unit.name = place.name;
  unit.path = path;
  Add(std::move(unit));
}

void SimDisk::Rename(const Place& source, const Place& target, const std::string& path) {
  if (target.inode) {
    stale_ = NodeOf(current_, *target.inode).content;
    ++names_removed_;
  }
  RemoveEntry(current_, source.directory, source.name);
  SetEntry(current_, target.directory, target.name, *source.inode);
  Unit unit;
  unit.kind = UnitKind::kRename;
  unit.order = OrderOf(path);
  unit.inode = *source.inode;
  unit.directory = source.directory;
  unit.name = source.name;
  unit.target_directory = target.directory;
  unit.target_name = target.name;
  unit.path = path;
  Add(std::move(unit));
}

void SimDisk::Write(InodeId inode, uint64_t offset, ByteView bytes, const std::string& path) {
  if (bytes.empty()) return;
  SimContent& content = MutableNode(current_, inode).content;
  const uint64_t end = offset + bytes.size();
  const bool grows = end > content.size_bytes();
  content.Write(offset, bytes);
  if (grows) content.SetSize(end);
  Unit unit;
  unit.kind = UnitKind::kWrite;
  unit.inode = inode;
  unit.offset = offset;
  unit.data = std::string(bytes);
  unit.grow_to = grows ? end : 0;
  unit.path = path;
  Add(std::move(unit));
}

void SimDisk::Truncate(InodeId inode, uint64_t size_bytes, const std::string& path) {
  SimContent& content = MutableNode(current_, inode).content;
  if (size_bytes == content.size_bytes()) return;
  if (size_bytes < content.size_bytes()) {
    stale_ = content;
    content.ClearFrom(size_bytes);
  }
  content.SetSize(size_bytes);
  Unit unit;
  unit.kind = UnitKind::kTruncate;
  unit.inode = inode;
  unit.grow_to = size_bytes;
  unit.path = path;
  Add(std::move(unit));
}

void SimDisk::Extend(InodeId inode, uint64_t size_bytes, const std::string& path) {
  SimContent& content = MutableNode(current_, inode).content;
  if (size_bytes <= content.size_bytes()) return;
  content.SetSize(size_bytes);
  Unit unit;
  unit.kind = UnitKind::kExtend;
  unit.inode = inode;
  unit.grow_to = size_bytes;
  unit.path = path;
  Add(std::move(unit));
}

// ---- Syncs. ----

void SimDisk::SyncFile(InodeId inode) {
  const bool untracked = std::any_of(pending_.begin(), pending_.end(), [&](const Cow<Unit>& unit) {
    return unit->inode == inode && unit->untracked;
  });
  if (untracked) {
    SyncRange(inode, 0, kNoEnd);
    return;
  }
  std::erase_if(pending_,
                [&](const Cow<Unit>& unit) { return unit->inode == inode && !unit->IsOfNames(); });
  MutableNode(durable_, inode).content = NodeOf(current_, inode).content;
}

void SimDisk::SyncRange(InodeId inode, uint64_t offset, uint64_t bytes) {
  const uint64_t end = bytes < kNoEnd - offset ? offset + bytes : kNoEnd;
  std::vector<Cow<Unit>> kept;
  kept.reserve(pending_.size());
  bool kept_writes = false;  // Of this file, in `kept`.
  SimContent& durable = MutableNode(durable_, inode).content;
  for (Cow<Unit>& unit : pending_) {
    if (unit->inode != inode || unit->IsOfNames()) {
      kept.push_back(std::move(unit));
      continue;
    }
    if (unit->kind == UnitKind::kTruncate) {
      // Writes from before it must not come back.
      if (kept_writes) DropWrites(kept, inode, unit->grow_to, kNoEnd);
      durable.SetSize(unit->grow_to);
      durable.ClearFrom(unit->grow_to);
      continue;
    }
    durable.SetSize(std::max(durable.size_bytes(), unit->grow_to));
    if (unit->kind == UnitKind::kExtend) continue;
    const uint64_t from = std::max(offset, unit->offset);
    const uint64_t to = std::min(end, unit->end());
    if (from < to && !unit->untracked) {
      // Older writes that no sync covered must not come back over this one.
      if (kept_writes) DropWrites(kept, inode, from, to);
      durable.Write(from, ByteView(unit->data).substr(from - unit->offset, to - from));
      kept_writes |= AppendRemainder(*unit, from, to, kept);
    } else {
      kept_writes = true;
      if (unit->grow_to != 0) unit.Mutable().grow_to = 0;
      kept.push_back(std::move(unit));
    }
  }
  pending_ = std::move(kept);
}

bool SimDisk::AppendRemainder(const Unit& unit, uint64_t from, uint64_t to,
                              std::vector<Cow<Unit>>& units) {
  const auto append = [&](uint64_t begin, uint64_t end) {
    if (begin >= end) return false;
    Cow<Unit> part = Cow<Unit>::Make(unit);
    part.Mutable().offset = begin;
    part.Mutable().data = unit.data.substr(begin - unit.offset, end - begin);
    part.Mutable().grow_to = 0;
    units.push_back(std::move(part));
    return true;
  };
  const bool before = append(unit.offset, from);
  const bool after = append(to, unit.end());
  return before || after;
}

void SimDisk::DropWrites(std::vector<Cow<Unit>>& units, InodeId inode, uint64_t from, uint64_t to) {
  std::vector<Cow<Unit>> kept;
  kept.reserve(units.size());
  for (Cow<Unit>& unit : units) {
    if (unit->kind != UnitKind::kWrite || unit->inode != inode || unit->end() <= from ||
        unit->offset >= to) {
      kept.push_back(std::move(unit));
    } else {
      AppendRemainder(*unit, std::max(from, unit->offset), std::min(to, unit->end()), kept);
    }
  }
  units = std::move(kept);
}

void SimDisk::LoseTrack(InodeId inode) {
  for (Cow<Unit>& unit : pending_) {
    if (unit->kind == UnitKind::kWrite && unit->inode == inode) unit.Mutable().untracked = true;
  }
}

void SimDisk::SyncDirectory(InodeId directory) {
  // In an ordered directory, all changes of names up to the last one here go with it.
  uint32_t order = 0;
  size_t ordered_end = 0;
  for (size_t i = 0; i < pending_.size(); ++i) {
    const Unit& unit = *pending_[i];
    if (unit.order != 0 && (unit.directory == directory || unit.target_directory == directory)) {
      order = unit.order;
      ordered_end = i + 1;
    }
  }
  std::vector<Cow<Unit>> kept;
  kept.reserve(pending_.size());
  for (size_t i = 0; i < pending_.size(); ++i) {
    Cow<Unit>& unit = pending_[i];
    if (!unit->IsOfNames()) {
      kept.push_back(std::move(unit));
    } else if (unit->order != 0 && unit->order == order && i < ordered_end) {
      ApplyNames(durable_, *unit, true, true);
    } else {
      SettleNames(std::move(unit), directory, kept);
    }
  }
  pending_ = std::move(kept);
}

void SimDisk::SettleNames(Cow<Unit> unit, InodeId directory, std::vector<Cow<Unit>>& kept) {
  if (unit->kind != UnitKind::kRename) {
    if (unit->directory != directory) {
      kept.push_back(std::move(unit));
    } else {
      ApplyNames(durable_, *unit, true, true);
    }
    return;
  }
  const bool source = unit->directory == directory;
  const bool target = unit->target_directory == directory;
  if (target) SetEntry(durable_, directory, unit->target_name, unit->inode);
  if (source) RemoveEntry(durable_, directory, unit->name);
  if (source && target) return;
  if (target) {
    unit.Mutable().kind = UnitKind::kUnlink;
  } else if (source) {
    // The old name is gone for good and the new one not yet sure: whoever renames from one
    // directory to another syncs the target first.
    Unit& changed = unit.Mutable();
    changed.kind = UnitKind::kLink;
    changed.directory = changed.target_directory;
    changed.name = changed.target_name;
  }
  if (source || target) unit.Mutable().target_directory = InodeId{};
  kept.push_back(std::move(unit));
}

void SimDisk::SyncAll() {
  for (const Cow<Unit>& unit : pending_) {
    if (unit->IsOfNames()) ApplyNames(durable_, *unit, true, true);
  }
  pending_.clear();
  durable_ = current_;
}

void SimDisk::CollectGarbage(const std::function<bool(InodeId)>& is_open) {
  if (names_removed_ < kGarbageMin) return;
  names_removed_ = 0;
  std::vector<InodeId> reachable{kRoot};
  for (const Image* image : {&durable_, &current_}) {
    for (const auto& [inode, node] : *image) {
      for (const Entry& entry : node->entries) reachable.push_back(entry.inode);
    }
  }
  for (const Cow<Unit>& unit : pending_) {
    if (!unit->IsOfNames()) continue;
    reachable.insert(reachable.end(), {unit->inode, unit->directory, unit->target_directory});
  }
  std::sort(reachable.begin(), reachable.end());
  const auto is_garbage = [&](InodeId inode) {
    return !std::binary_search(reachable.begin(), reachable.end(), inode) && !is_open(inode);
  };
  std::erase_if(pending_, [&](const Cow<Unit>& unit) {
    return !unit->IsOfNames() && is_garbage(unit->inode);
  });
  for (Image* image : {&durable_, &current_}) {
    std::erase_if(*image, [&](const auto& node) { return is_garbage(node.first); });
  }
}

}  // namespace tailrace::test
