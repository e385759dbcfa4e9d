// A program outside of Tailrace's tree: writes, reads its own stream, opens the store again. Prints
// what it saw; installed_copy.py knows what that must be.
#include <tailrace/engine/durable_reader.h>
#include <tailrace/engine/store.h>

#include <cstdio>
#include <string>

namespace {

using tailrace::Item;
using tailrace::Value;

Item Game(int id) { return {{"game_id", Value::N(id)}, {"user", Value::S("ada")}}; }

void Write(const std::string& directory) {
  auto store = tailrace::Store::Open(directory, {}).value();
  store
      ->CreateTable({.name = "Games",
                     .keys = {.partition = {"game_id", tailrace::ScalarType::kN}},
                     .stream = tailrace::ViewType::kNewAndOldImages})
      .value();
  for (int id = 1; id <= 3; ++id) store->Put("Games", Game(id)).value();
  store->Delete("Games", {{"game_id", Value::N(2)}}).value();
  if (!store->Close().ok()) std::printf("close failed\n");
}

void Read(const std::string& directory) {
  auto store = tailrace::Store::Open(directory, {.create_if_missing = false}).value();
  std::printf("%zu items\n", store->Scan("Games", {}).value().items.size());
  const auto stream = store->DescribeTable("Games").value().latest_stream.value();
  auto reader = tailrace::DurableReader::Open(*store, "program", stream, {}).value();
  size_t inserts = 0;
  size_t removes = 0;
  while (inserts + removes < 4) {
    const auto batch = reader->Next(60'000).value().value();
    for (const auto& record : batch.records) {
      (record.kind == tailrace::ChangeKind::kRemove ? removes : inserts) += 1;
    }
  }
  std::printf("%zu inserts, %zu removes\n", inserts, removes);
}

}  // namespace

int main(int, char** argv) {
  Write(argv[1]);
  Read(argv[1]);
}
