// An ordered map whose copies share their values: what a snapshot of many things costs when one of
// them changes.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <utility>

namespace tailrace {

// Values are immutable once they are in: a change is a new value put in the old one's place. A copy
// of the map costs one small node an entry, whatever the values hold. Thread-compatible; copies may
// be used by different threads.
template <typename Key, typename Value>
class SharedMap {
  using Map = std::map<Key, std::shared_ptr<const Value>>;

 public:
  // Goes over `const auto& [key, value]`, in the order of keys.
  class Iterator {
   public:
    explicit Iterator(typename Map::const_iterator at) : at_(at) {}
    std::pair<const Key&, const Value&> operator*() const { return {at_->first, *at_->second}; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    typename Map::const_iterator at_;
  };

  Iterator begin() const { return Iterator(map_.begin()); }
  Iterator end() const { return Iterator(map_.end()); }
  size_t size() const { return map_.size(); }
  bool empty() const { return map_.empty(); }
  bool contains(const Key& key) const { return map_.contains(key); }

  // Null when absent. The value lives for as long as any copy of the map has it.
  const Value* Find(const Key& key) const {
    const auto found = map_.find(key);
    return found == map_.end() ? nullptr : found->second.get();
  }

  void Put(const Key& key, Value value) {
    map_.insert_or_assign(key, std::make_shared<const Value>(std::move(value)));
  }
  void Erase(const Key& key) { map_.erase(key); }

 private:
  Map map_;
};

}  // namespace tailrace
