// Taking a backup of an open store. Format: docs/backup-format.md.
#pragma once

#include <string>

#include "engine/backup.h"
#include "engine/checkpointer.h"
#include "engine/core.h"

namespace tailrace::engine {

// See Store::Backup.
Result<BackupReport> WriteBackup(Core& core, Checkpointer& checkpointer,
                                 const std::string& directory, const BackupOptions& options);

}  // namespace tailrace::engine
