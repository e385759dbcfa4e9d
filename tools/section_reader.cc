#include "tools/section_reader.h"

#include "tools/format.h"
#include "tools/record_text.h"

namespace tailrace::tools {
namespace {

constexpr char kReaderName[] = "sections";
constexpr char kSection[] = "Section";
constexpr char kPackages[] = "packages";
constexpr char kInstalledKib[] = "installed_kib";
constexpr char kSections[] = "sections";
constexpr char kRecords[] = "records";

Result<uint64_t> ReadCount(const Item& item, const char* name) {
  const Number* number = item.GetNumber(name);
  const auto value = number == nullptr ? std::nullopt : number->ToInt64();
  if (!value || *value < 0) return Corruption(Cat("a row of sections has no proper '", name, "'"));
  return static_cast<uint64_t>(*value);
}

Result<SectionTotal> ReadTotal(const Item& item) {
  SectionTotal total;
  TAILRACE_ASSIGN_OR_RETURN(total.packages, ReadCount(item, kPackages));
  TAILRACE_ASSIGN_OR_RETURN(total.installed_kib, ReadCount(item, kInstalledKib));
  return total;
}

void WriteTotal(const SectionTotal& total, Item& item) {
  item.Set(kPackages, Value::N(total.packages));
  item.Set(kInstalledKib, Value::N(total.installed_kib));
}

}  // namespace

Item SectionRow(const std::string& section, const SectionTotal& total) {
  Item row{{kSection, Value::S(section)}};
  WriteTotal(total, row);
  return row;
}

Result<SectionTotals> ReadSectionRows(Store& store) {
  SectionTotals totals;
  ScanRequest request;
  while (true) {
    TAILRACE_ASSIGN_OR_RETURN(const ItemPage page, store.Scan(kSectionsTable, request));
    for (const Item& row : page.items) {
      const std::string* section = row.GetString(kSection);
      if (section == nullptr) return Corruption("a row of sections has no section");
      TAILRACE_ASSIGN_OR_RETURN(totals[*section], ReadTotal(row));
    }
    if (!page.last_key) return totals;
    request.start_after = page.last_key;
  }
}

Result<std::unique_ptr<SectionReader>> SectionReader::Open(Store& store, StreamId stream) {
  const auto made = store.CreateTable(
      {.name = kSectionsTable, .keys = {.partition = {kSection, ScalarType::kS}}});
  if (!made.ok() && made.status().code() != StatusCode::kAlreadyExists) return made.status();
  TAILRACE_ASSIGN_OR_RETURN(auto durable, DurableReader::Open(store, kReaderName, stream, {}));
  std::unique_ptr<SectionReader> reader(new SectionReader(store, std::move(durable)));
  TAILRACE_RETURN_IF_ERROR(reader->Load());
  return reader;
}

Status SectionReader::Load() {
  for (const auto& [shard, attachment] : reader_->attachments()) {
    TAILRACE_ASSIGN_OR_RETURN(shards_[shard], FromAttachment(attachment));
    for (const auto& [section, total] : shards_[shard].sections) changed_.insert(section);
  }
  // A row whose section has become empty is to go too.
  TAILRACE_ASSIGN_OR_RETURN(const SectionTotals rows, ReadSectionRows(store_));
  for (const auto& [section, total] : rows) changed_.insert(section);
  return Status::Ok();
}

Item SectionReader::ToAttachment(const ShardTotals& totals) {
  Item sections;
  for (const auto& [section, total] : totals.sections) {
    Item counts;
    WriteTotal(total, counts);
    sections.Set(section, Value::M(std::move(counts)));
  }
  return Item{{kSections, Value::M(std::move(sections))}, {kRecords, Value::N(totals.records)}};
}

Result<SectionReader::ShardTotals> SectionReader::FromAttachment(const Item& attachment) {
  ShardTotals totals;
  TAILRACE_ASSIGN_OR_RETURN(totals.records, ReadCount(attachment, kRecords));
  const Item* sections = attachment.GetMap(kSections);
  if (sections == nullptr) return Corruption("a checkpoint has no totals");
  for (const Attribute& section : *sections) {
    if (section.value.map() == nullptr) return Corruption("a checkpoint's totals cannot be read");
    TAILRACE_ASSIGN_OR_RETURN(totals.sections[section.name], ReadTotal(*section.value.map()));
  }
  return totals;
}

Result<bool> SectionReader::Step(uint64_t timeout_ms) {
  TAILRACE_ASSIGN_OR_RETURN(const auto batch, reader_->Next(timeout_ms));
  if (!batch) return false;
  if (batch->gap) return FailedPrecondition(GapText(*batch->gap));
  ShardTotals& totals = shards_[batch->shard];
  for (const ChangeRecord& record : batch->records) {
    if (record.new_image) {
      AddPackage(*record.new_image, totals.sections);
      changed_.insert(SectionOf(*record.new_image));
    }
    if (record.old_image) {
      TAILRACE_RETURN_IF_ERROR(RemovePackage(*record.old_image, totals.sections));
      changed_.insert(SectionOf(*record.old_image));
    }
  }
  totals.records += batch->records.size();
  records_now_ += batch->records.size();
  TAILRACE_RETURN_IF_ERROR(reader_->Checkpoint(batch->shard, ToAttachment(totals)));
  return true;
}

Status SectionReader::Publish() {
  std::optional<CommitToken> last;
  for (const std::string& section : changed_) {
    SectionTotal sum;
    for (const auto& [shard, totals] : shards_) {
      const auto found = totals.sections.find(section);
      if (found == totals.sections.end()) continue;
      sum.packages += found->second.packages;
      sum.installed_kib += found->second.installed_kib;
    }
    const WriteOptions options{.wait = WaitFor::kNothing};
    auto written = sum.packages > 0 ? store_.Put(kSectionsTable, SectionRow(section, sum), options)
                                    : store_.Delete(kSectionsTable,
                                                    Item{{kSection, Value::S(section)}}, options);
    if (!written.ok()) return written.status();
    last = written->token;
  }
  changed_.clear();
  return last ? store_.Wait(*last) : Status::Ok();
}

uint64_t SectionReader::records_ever() const {
  uint64_t records = 0;
  for (const auto& [shard, totals] : shards_) records += totals.records;
  return records;
}

}  // namespace tailrace::tools
