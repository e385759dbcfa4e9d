// What a crash test prints of what it has come across.
#pragma once

#include <string>

#include "tools/crashtest/oracle.h"

namespace tailrace::test {

// One line, without its end.
inline std::string FiguresOf(const crashtest::Counts& counts) {
  const auto text = [](uint64_t count) { return std::to_string(count); };
  return text(counts.processes) + " processes; " + text(counts.acknowledged) +
         " acknowledged changes found again, " + text(counts.other_answers) +
         " other answers judged, " + text(counts.survived) + " of " + text(counts.pending) +
         " pending writes survived; " + text(counts.records) + " records, " + text(counts.expired) +
         " expired, " + text(counts.deliveries) + " deliveries, " + text(counts.resumed) +
         " shards resumed, " + text(counts.table_changes) + " changes of tables and streams, " +
         text(counts.shards_opened) + " shards opened in place of others; " +
         text(counts.transactions) + " transactions, " + text(counts.transactions_found) + " of " +
         text(counts.transactions_pending) + " pending ones found; " + text(counts.items_expired) +
         " items expired; " + text(counts.effects) + " effects of a consumer, " +
         text(counts.effects_found) + " gone on behind";
}

}  // namespace tailrace::test
