// Changes to what exists: tables and streams. Each is one frame, appended with the commit gate held
// exclusively, so that no write straddles it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/core.h"
#include "engine/store.h"

namespace tailrace::engine {

// Table names that begin so are the store's own.
inline constexpr std::string_view kSystemPrefix = "_tailrace.";

// Decides, with the gate held exclusively, what to change in the catalogue as it is then; appends
// that as one frame, and waits, holding nothing, until it is safe and fanned out. Thread-safe. A
// refusal of `decide` is returned and nothing changes; nor when it leaves no change. Errors of
// writing.
Status ChangeCatalogue(Core& core,
                       const std::function<Status(const Catalogue&, frames::Catalogue&)>& decide);

// Thread-safe. See the methods of Store.
class CatalogueWriter {
 public:
  explicit CatalogueWriter(Core& core) : core_(core) {}

  // Lets a system table be made too.
  enum class Who { kCaller, kStore };
  Status CreateTable(const TableSpec& spec, Who who);
  Status DropTable(const std::string& table);
  Result<StreamId> EnableStream(const std::string& table, ViewType view,
                                const StreamOptions& options);
  Status DisableStream(const std::string& table);
  Status CreateIndex(const std::string& table, const IndexSpec& spec);
  Status DropIndex(const std::string& table, const std::string& index);
  Status UpdateTimeToLive(const std::string& table, const std::optional<std::string>& attribute);

 private:
  void AddStream(const Catalogue& now, const Table& table, ViewType view,
                 const StreamOptions& options, frames::Catalogue& change) const;

  void AddIndex(const IndexSpec& spec, TableId id, TableId table, frames::Catalogue& change) const;

  Core& core_;
};

}  // namespace tailrace::engine
