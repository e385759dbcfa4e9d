// The Debian package index as items: the real data that the demo imports.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/key.h"
#include "engine/value.h"
#include "wal/status.h"

namespace tailrace::tools {

// Packages and their installed size, in KiB.
struct SectionTotal {
  uint64_t packages = 0;
  uint64_t installed_kib = 0;

  friend bool operator==(const SectionTotal&, const SectionTotal&) = default;
};
using SectionTotals = std::map<std::string, SectionTotal>;

// The key of the table of packages: Package (S), Version (S).
KeySchema PackageKeys();

// Which section the item counts for ("unknown" without a Section), and with what size (0 without).
std::string SectionOf(const Item& package);
uint64_t InstalledKibOf(const Item& package);

// Adds or takes away one package; a section left empty goes. kCorruption: what is to be taken away
// was never added.
void AddPackage(const Item& package, SectionTotals& totals);
Status RemovePackage(const Item& package, SectionTotals& totals);

// Writes this machine's index as one text to `path`: apt's lists, which its own helper
// decompresses, or else what apt-cache prints. kNotFound: there is none; says what to do.
Status WritePackageIndex(const std::string& path);

// Reads such a text (paragraphs of "Field: value" lines) into items: every field an attribute,
// Installed-Size and Size numbers. In the order of the text; of two with one key the first counts.
// Paragraphs that make no valid item are left out. kNotFound, kIoError; kInvalidArgument: there is
// no package in it.
Result<std::vector<Item>> ReadPackageIndex(const std::string& path);

}  // namespace tailrace::tools
