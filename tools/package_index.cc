#include "tools/package_index.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unordered_set>

#include "tools/format.h"
#include "tools/line_reader.h"
#include "tools/process.h"

namespace tailrace::tools {
namespace {

constexpr char kListsDirectory[] = "/var/lib/apt/lists";
constexpr char kAptHelper[] = "/usr/lib/apt/apt-helper";

// The package lists of apt, compressed or not.
std::vector<std::string> PackageLists() {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(kListsDirectory, error)) {
    const std::string name = entry.path().filename().string();
    const size_t at = name.find("_Packages");
    const bool is_list = at != std::string::npos && name.find("diff", at) == std::string::npos;
    if (is_list && entry.is_regular_file(error)) paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

Status CopyOutput(const std::vector<std::string>& argv, const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(Process process, Process::Start(argv));
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  uint64_t lines = 0;
  while (const auto line = process.ReadLine()) {
    file << *line << '\n';
    ++lines;
  }
  file.close();
  if (!file) return IoError(Cat(path, ": cannot be written"));
  if (process.Wait() != 0) return IoError(Cat(argv[0], " failed"));
  if (lines == 0) return NotFound(Cat(argv[0], " printed nothing"));
  return Status::Ok();
}

Value ValueOf(const std::string& field, std::string text) {
  if (field == "Installed-Size" || field == "Size") {
    if (const auto number = Number::Parse(text); number.ok()) return Value::N(*number);
  }
  return Value::S(std::move(text));
}

// One paragraph as it is read: a field may go on over several lines.
class Paragraph {
 public:
  void AddLine(std::string_view line) {
    if (line.front() == ' ' || line.front() == '\t') {
      if (!fields_.empty()) fields_.back().second.append("\n").append(line.substr(1));
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string_view value = line.substr(colon + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    fields_.emplace_back(line.substr(0, colon), value);
  }

  Item Take() {
    std::vector<Attribute> attributes;
    for (auto& [name, text] : fields_) attributes.push_back({name, ValueOf(name, std::move(text))});
    fields_.clear();
    return Item(std::move(attributes));
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace

KeySchema PackageKeys() {
  return {.partition = {"Package", ScalarType::kS},
          .sort = KeyAttribute{"Version", ScalarType::kS}};
}

std::string SectionOf(const Item& package) {
  const std::string* section = package.GetString("Section");
  return section == nullptr || section->empty() ? "unknown" : *section;
}

uint64_t InstalledKibOf(const Item& package) {
  const Number* size = package.GetNumber("Installed-Size");
  return size == nullptr ? 0
                         : static_cast<uint64_t>(std::max<int64_t>(0, size->ToInt64().value_or(0)));
}

void AddPackage(const Item& package, SectionTotals& totals) {
  SectionTotal& total = totals[SectionOf(package)];
  ++total.packages;
  total.installed_kib += InstalledKibOf(package);
}

Status RemovePackage(const Item& package, SectionTotals& totals) {
  const auto found = totals.find(SectionOf(package));
  const uint64_t kib = InstalledKibOf(package);
  if (found == totals.end() || found->second.packages == 0 || found->second.installed_kib < kib) {
    return Corruption(Cat("section ", SectionOf(package), " loses a package that it never had"));
  }
  --found->second.packages;
  found->second.installed_kib -= kib;
  if (found->second.packages == 0) totals.erase(found);
  return Status::Ok();
}

Status WritePackageIndex(const std::string& path) {
  std::vector<std::string> argv = {kAptHelper, "cat-file"};
  const std::vector<std::string> lists = PackageLists();
  argv.insert(argv.end(), lists.begin(), lists.end());
  if (!lists.empty() && CopyOutput(argv, path).ok()) return Status::Ok();
  if (CopyOutput({"apt-cache", "dumpavail"}, path).ok()) return Status::Ok();
  return NotFound(
      "this machine has no Debian package index: run `apt-get update`, or give a file with "
      "--packages");
}

Result<std::vector<Item>> ReadPackageIndex(const std::string& path) {
  TAILRACE_ASSIGN_OR_RETURN(const auto lines, LineReader::Open(path));
  std::vector<Item> packages;
  std::unordered_set<std::string> keys;
  Paragraph paragraph;
  const auto finish = [&] {
    Item item = paragraph.Take();
    const auto key = EncodeKeyOfItem(PackageKeys(), item);
    if (!key.ok() || !ValidateItem(item).ok() || !keys.insert(*key).second) return;
    packages.push_back(std::move(item));
  };
  std::string_view line;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const bool more, lines->Next(line));
    if (!more) break;
    if (line.empty()) {
      finish();
    } else {
      paragraph.AddLine(line);
    }
  }
  finish();
  if (packages.empty())
    return InvalidArgument(Cat(path, " holds no package of a Debian package index"));
  return packages;
}

}  // namespace tailrace::tools
