#include "tests/history/cycle_check.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <sstream>

namespace tailrace::test {
namespace {

enum class EdgeKind : uint8_t { kWriteWrite, kWriteRead, kReadWrite, kRealTime };

constexpr const char* kEdgeNames[] = {"ww", "wr", "rw", "rt"};

struct Edge {
  size_t to;
  EdgeKind kind;
};

struct Append {
  size_t transaction;
  bool last;  // Of the transaction's appends to the list.
};

class CycleChecker {
 public:
  explicit CycleChecker(const std::vector<ListTransaction>& transactions)
      : transactions_(transactions) {}

  CycleVerdict Run() {
    verdict_.transactions = transactions_.size();
    if (CollectAppends() && OrderLists() && JudgeReads()) {
      AddListEdges();
      AddTimeEdges();
      for (const auto& edges : edges_) verdict_.edges += edges.size();
      FindCycle();
    }
    return std::move(verdict_);
  }

 private:
  bool Fail(const std::string& what, uint32_t key, size_t transaction) {
    verdict_.problem = what + ": list " + std::to_string(key) + ", " + Describe(transaction);
    return false;
  }

  std::string Describe(size_t at) const {
    const ListTransaction& transaction = transactions_[at];
    std::ostringstream text;
    text << "transaction " << at << " [" << transaction.invoked_ns << ", "
         << transaction.responded_ns << "]";
    if (!transaction.applied) text << " rejected";
    for (const ListRead& read : transaction.reads) {
      text << " read " << read.key << " (";
      for (const uint64_t id : read.list) text << " " << id;
      text << " )";
    }
    for (const ListAppend& append : transaction.appends) {
      text << " append " << append.id << " to " << append.key;
    }
    return text.str();
  }

  bool CollectAppends() {
    edges_.resize(transactions_.size());
    for (size_t i = 0; i < transactions_.size(); ++i) {
      const auto& appends = transactions_[i].appends;
      for (size_t j = 0; j < appends.size(); ++j) {
        const bool last =
            std::none_of(appends.begin() + static_cast<long>(j) + 1, appends.end(),
                         [&](const ListAppend& later) { return later.key == appends[j].key; });
        if (!appends_.insert({{appends[j].key, appends[j].id}, {i, last}}).second) {
          return Fail("a number is appended twice", appends[j].key, i);
        }
      }
    }
    return true;
  }

  // The longest list that anybody read is the list; the others must be beginnings of it.
  bool OrderLists() {
    for (const ListTransaction& transaction : transactions_) {
      for (const ListRead& read : transaction.reads) {
        std::vector<uint64_t>& list = lists_[read.key];
        if (list.size() < read.list.size()) list = read.list;
      }
    }
    for (size_t i = 0; i < transactions_.size(); ++i) {
      for (const ListRead& read : transactions_[i].reads) {
        if (!std::equal(read.list.begin(), read.list.end(), lists_[read.key].begin())) {
          return Fail("a list is no beginning of the longest one", read.key, i);
        }
      }
    }
    uint64_t expected = 0;
    for (const ListTransaction& transaction : transactions_) {
      if (transaction.applied) expected += transaction.appends.size();
    }
    uint64_t found = 0;
    for (const auto& [key, list] : lists_) found += list.size();
    return found >= expected || FailLost();
  }

  bool FailLost() {
    for (size_t i = 0; i < transactions_.size(); ++i) {
      if (!transactions_[i].applied) continue;
      for (const ListAppend& append : transactions_[i].appends) {
        const auto& list = lists_[append.key];
        if (std::find(list.begin(), list.end(), append.id) == list.end()) {
          return Fail("an append is lost", append.key, i);
        }
      }
    }
    verdict_.problem = "an append is lost";
    return false;
  }

  // No read shows what was rejected, was never written, or stood only within a transaction.
  bool JudgeReads() {
    for (size_t i = 0; i < transactions_.size(); ++i) {
      for (const ListRead& read : transactions_[i].reads) {
        absl::flat_hash_map<uint64_t, bool> shown;
        for (size_t j = 0; j < read.list.size(); ++j) {
          const auto append = appends_.find({read.key, read.list[j]});
          if (append == appends_.end()) return Fail("nobody wrote what it read", read.key, i);
          if (!transactions_[append->second.transaction].applied) {
            return Fail("it read what was rejected", read.key, i);
          }
          if (!shown.emplace(read.list[j], true).second) {
            return Fail("it read a number twice", read.key, i);
          }
          if (j + 1 == read.list.size() && !append->second.last) {
            return Fail("it read a transaction's middle", read.key, i);
          }
        }
      }
    }
    return true;
  }

  void Add(size_t from, size_t to, EdgeKind kind) {
    if (from != to) edges_[from].push_back({to, kind});
  }

  void AddListEdges() {
    for (const auto& [key, list] : lists_) {
      for (size_t i = 1; i < list.size(); ++i) {
        Add(Writer(key, list[i - 1]), Writer(key, list[i]), EdgeKind::kWriteWrite);
      }
    }
    for (size_t i = 0; i < transactions_.size(); ++i) {
      for (const ListRead& read : transactions_[i].reads) {
        const auto& list = lists_[read.key];
        const size_t length = read.list.size();
        if (length > 0) Add(Writer(read.key, list[length - 1]), i, EdgeKind::kWriteRead);
        if (length < list.size()) Add(i, Writer(read.key, list[length]), EdgeKind::kReadWrite);
      }
    }
  }

  size_t Writer(uint32_t key, uint64_t id) const { return appends_.at({key, id}).transaction; }

  // Through a chain of moments, one for each return, so that there are few edges: from what
  // returned to its moment, from each moment to the next, from the last moment to what is called.
  void AddTimeEdges() {
    std::vector<size_t> returned(transactions_.size()), called(transactions_.size());
    for (size_t i = 0; i < transactions_.size(); ++i) returned[i] = called[i] = i;
    std::sort(returned.begin(), returned.end(), [&](size_t a, size_t b) {
      return transactions_[a].responded_ns < transactions_[b].responded_ns;
    });
    std::sort(called.begin(), called.end(), [&](size_t a, size_t b) {
      return transactions_[a].invoked_ns < transactions_[b].invoked_ns;
    });
    const size_t first_moment = edges_.size();
    edges_.resize(first_moment + transactions_.size());
    size_t moments = 0;
    for (const size_t at : called) {
      while (moments < returned.size() &&
             transactions_[returned[moments]].responded_ns < transactions_[at].invoked_ns) {
        const size_t moment = first_moment + moments;
        Add(returned[moments], moment, EdgeKind::kRealTime);
        if (moments > 0) Add(moment - 1, moment, EdgeKind::kRealTime);
        ++moments;
      }
      if (moments > 0) Add(first_moment + moments - 1, at, EdgeKind::kRealTime);
    }
  }

  // Depth first, without recursion; an edge to a node that is still open closes a ring.
  void FindCycle() {
    enum class Mark : uint8_t { kNew, kOpen, kDone };
    struct Visit {
      size_t node;
      size_t next_edge;
    };
    std::vector<Mark> marks(edges_.size(), Mark::kNew);
    std::vector<Visit> path;
    for (size_t root = 0; root < edges_.size(); ++root) {
      if (marks[root] != Mark::kNew) continue;
      path.push_back({root, 0});
      marks[root] = Mark::kOpen;
      while (!path.empty()) {
        Visit& visit = path.back();
        if (visit.next_edge == edges_[visit.node].size()) {
          marks[visit.node] = Mark::kDone;
          path.pop_back();
          continue;
        }
        const size_t to = edges_[visit.node][visit.next_edge++].to;
        if (marks[to] == Mark::kOpen) {
          std::vector<std::pair<size_t, EdgeKind>> ring;
          const auto begin = std::find_if(path.begin(), path.end(),
                                          [&](const Visit& each) { return each.node == to; });
          for (auto each = begin; each != path.end(); ++each) {
            ring.emplace_back(each->node, edges_[each->node][each->next_edge - 1].kind);
          }
          return Report(ring);
        }
        if (marks[to] == Mark::kNew) {
          marks[to] = Mark::kOpen;
          path.push_back({to, 0});
        }
      }
    }
  }

  void Report(const std::vector<std::pair<size_t, EdgeKind>>& ring) {
    std::string text = "a ring of transactions:";
    for (const auto& [node, kind] : ring) {
      if (node < transactions_.size()) {
        text += "\n  " + Describe(node) + "\n  -" + kEdgeNames[static_cast<int>(kind)] + "->";
      }
    }
    verdict_.problem = text + " the first";
  }

  const std::vector<ListTransaction>& transactions_;
  CycleVerdict verdict_;
  absl::flat_hash_map<std::pair<uint32_t, uint64_t>, Append> appends_;
  absl::flat_hash_map<uint32_t, std::vector<uint64_t>> lists_;
  std::vector<std::vector<Edge>> edges_;  // Of the transactions, then of the moments.
};

}  // namespace

CycleVerdict CheckCycles(const std::vector<ListTransaction>& transactions) {
  return CycleChecker(transactions).Run();
}

}  // namespace tailrace::test
