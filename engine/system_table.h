// Tables that the store keeps for itself (consumers' positions), made when they are first needed.
#pragma once

#include <string>

#include "engine/key.h"
#include "wal/status.h"

namespace tailrace::engine {

class SystemTables {
 public:
  virtual ~SystemTables() = default;

  // Makes the table unless it is there. The name begins with kSystemPrefix.
  virtual Status EnsureSystemTable(const std::string& name, const KeySchema& keys) = 0;
};

}  // namespace tailrace::engine
