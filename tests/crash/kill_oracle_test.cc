// The oracle of the kill test is itself on trial here: a short story of a store, told as a process
// would tell it, is right as it stands, and each way to break a promise is noticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/crash/oracle_story.h"

namespace tailrace::crashtest {
namespace {

using ::testing::HasSubstr;

TEST(KillOracleTest, TheStoryAsItStandsIsRight) { EXPECT_EQ(ProblemsOf(RightStory()), ""); }

TEST(KillOracleTest, APendingWriteMayHaveHappened) {
  Story story = RightStory();
  InBoth(story, [](auto& life) {
    life.insert(life.begin() + 2, ItemOf(kStreamed, 4, kPendingState));
    InsertBeforeEnd(life, Record(3, 200, 4, {}, kPendingState));
    Find(life, EventKind::kItem, 5).new_state = kBarePendingState;
  });
  EXPECT_EQ(ProblemsOf(story), "");
}

TEST(KillOracleTest, RecordsMayExpireInTheirTime) {
  Story story = RightStory();
  Erase(story[2], EventKind::kRecord, 1);
  Find(story[2], EventKind::kShard, 101).ordinal = 141;
  story[2].back().true_ms = 10 + kRetentionMs;
  EXPECT_EQ(ProblemsOf(story), "");
}

struct Breach {
  std::string name;
  std::function<void(Story&)> commit;
  std::string noticed;
};

std::string NameOf(const ::testing::TestParamInfo<Breach>& breach) { return breach.param.name; }

class KillOracleBreachTest : public ::testing::TestWithParam<Breach> {};

TEST_P(KillOracleBreachTest, IsNoticed) {
  Story story = RightStory();
  GetParam().commit(story);
  EXPECT_THAT(ProblemsOf(story), HasSubstr(GetParam().noticed));
}

Event Delivered(uint64_t ordinal, uint64_t sequence) {
  Event event{.kind = EventKind::kDelivered, .thread = kDurableReaderThread};
  event.stream = event.shard = 1;
  event.ordinal = ordinal;
  event.sequence = sequence;
  event.first = 5000 + ordinal;
  return event;
}

Event OfReader(EventKind kind, uint64_t ordinal) {
  Event event{.kind = kind, .thread = kDurableReaderThread};
  event.stream = event.shard = 1;
  event.ordinal = ordinal;
  return event;
}

// A durable reader reads all, keeps a checkpoint behind the first record, and goes on in the next
// life as `next` tells.
void ReadAndResume(Story& story, const std::vector<Event>& next) {
  story[0].push_back(OfReader(EventKind::kReaderOpen, 0));
  story[0].push_back(Delivered(1, 140));
  story[0].push_back(OfReader(EventKind::kCheckpointBegin, 1));
  story[0].push_back(OfReader(EventKind::kCheckpointEnd, 1));
  story[0].push_back(Delivered(2, 160));
  story[1].push_back({.kind = EventKind::kTrafficBegin, .true_ms = 10});
  story[1].push_back(OfReader(EventKind::kReaderOpen, 0));
  story[1].insert(story[1].end(), next.begin(), next.end());
}

TEST(KillOracleTest, AReaderMayGoOnBehindItsCheckpoint) {
  Story story = RightStory();
  ReadAndResume(story, {OfReader(EventKind::kAttachment, 1), Delivered(2, 160)});
  EXPECT_EQ(ProblemsOf(story), "");
}

// A transaction with a token puts key 6 of the streamed table, where nothing was, and key 8 of the
// plain one, where kBefore had put something. It is under way when the process dies.
constexpr uint64_t kBefore = 2000;
constexpr uint64_t kLeft = 2001;
constexpr uint64_t kRight = 2002;

Event TransactionBegin(uint64_t id, uint32_t table, uint32_t key) {
  Event event = WriteBegin(id, Operation::kPut, table, key);
  event.transaction = kLeft;
  event.with_token = true;
  return event;
}

Event TransactionEnd(uint64_t id, uint32_t table, uint32_t key, uint64_t sequence,
                     const ItemState& old) {
  Event event = WriteEnd(TransactionBegin(id, table, key), sequence, old, {id, 0, 0});
  event.second = 210;
  event.last = 2;
  return event;
}

Story WithTransaction() {
  Story story = RightStory();
  const Event before = WriteBegin(kBefore, Operation::kPut, kPlain, 8);
  story[0].push_back(before);
  story[0].push_back(WriteEnd(before, 190, {}, {kBefore, 0, 0}));
  story[0].push_back(TransactionBegin(kLeft, kStreamed, 6));
  story[0].push_back(TransactionBegin(kRight, kPlain, 8));
  InBoth(story, [](auto& life) { InsertBeforeEnd(life, ItemOf(kPlain, 8, {kBefore, 0, 0})); });
  return story;
}

void EndTransaction(Story& story) {
  story[0].push_back(TransactionEnd(kLeft, kStreamed, 6, 210, {}));
  story[0].push_back(TransactionEnd(kRight, kPlain, 8, 211, {kBefore, 0, 0}));
}

void ShowLeft(std::vector<Event>& life) {
  InsertBeforeEnd(life, ItemOf(kStreamed, 6, {kLeft, 0, 0}));
  Event record = Record(3, 210, 6, {}, {kLeft, 0, 0});
  record.last = 2;
  InsertBeforeEnd(life, record);
}
void ShowRight(std::vector<Event>& life) {
  Find(life, EventKind::kItem, 8).new_state = {kRight, 0, 0};
}
void ShowToken(std::vector<Event>& life) {
  Event token{.kind = EventKind::kToken};
  token.transaction = kLeft;
  InsertBeforeEnd(life, token);
}
void ShowAll(std::vector<Event>& life) {
  ShowLeft(life);
  ShowRight(life);
  ShowToken(life);
}

TEST(KillOracleTest, APendingTransactionMayBeAbsentOrThere) {
  Story story = WithTransaction();
  EXPECT_EQ(ProblemsOf(story), "");
  InBoth(story, ShowAll);
  EXPECT_EQ(ProblemsOf(story), "");
}

TEST(KillOracleTest, AnEndedTransactionIsThere) {
  Story story = WithTransaction();
  EndTransaction(story);
  InBoth(story, ShowAll);
  EXPECT_EQ(ProblemsOf(story), "");
}

TEST(KillOracleTest, ATokenMayExpireInItsTime) {
  Story story = WithTransaction();
  EndTransaction(story);
  InBoth(story, ShowLeft);
  InBoth(story, ShowRight);
  for (size_t life : {1u, 2u}) story[life].back().true_ms = story[life].front().true_ms = 600'001;
  EXPECT_EQ(ProblemsOf(story), "");
}

// Breaches are of a story with that transaction.
Breach OfTransaction(const std::string& name, const std::function<void(Story&)>& commit,
                     const std::string& noticed) {
  return {name,
          [commit](Story& story) {
            story = WithTransaction();
            commit(story);
          },
          noticed};
}

const std::vector<Breach> kBreachesOfTransactions = {
    OfTransaction(
        "OnlyTheStreamedWriteHappened", [](Story& story) { InBoth(story, ShowLeft); },
        "write 2001 is there, write 2002 is not"),
    OfTransaction(
        "OnlyThePlainWriteHappened", [](Story& story) { InBoth(story, ShowRight); },
        "write 2002 is there, write 2001 is not"),
    OfTransaction(
        "OnlyTheTokenIsThere", [](Story& story) { InBoth(story, ShowToken); },
        "its token is there, write 2001 is not"),
    OfTransaction(
        "TheTokenIsMissing",
        [](Story& story) {
          InBoth(story, ShowLeft);
          InBoth(story, ShowRight);
        },
        "write 2001 is there, its token is not"),
    OfTransaction(
        "TheTokenOfAnEndedOneIsMissing",
        [](Story& story) {
          EndTransaction(story);
          InBoth(story, ShowLeft);
          InBoth(story, ShowRight);
        },
        "its token is not"),
    OfTransaction(
        "ARecordSaysThatItWasAlone",
        [](Story& story) {
          EndTransaction(story);
          InBoth(story, ShowAll);
          InBoth(story, [](auto& life) { Find(life, EventKind::kRecord, 6).last = 1; });
        },
        "says that its commit has 1 changes, and it has 2"),
    OfTransaction(
        "SequenceNumbersHaveAHole",
        [](Story& story) {
          EndTransaction(story);
          story[0].back().sequence = 213;
          InBoth(story, ShowAll);
        },
        "has the sequence number 213 in the commit 210"),
    OfTransaction(
        "ItIsRejectedForNoReason",
        [](Story& story) {
          EndTransaction(story);
          for (Event* end : {&*std::prev(story[0].end()), &*std::prev(story[0].end(), 2)}) {
            end->rejected = true;
            end->outcome = static_cast<uint8_t>(WriteOutcome::kUnchanged);
            end->sequence = 0;
            end->new_state = end->old_state;
          }
        },
        "was rejected for no reason"),
    OfTransaction(
        "ARejectedOneIsRemembered",
        [](Story& story) {
          EndTransaction(story);
          for (Event* end : {&*std::prev(story[0].end()), &*std::prev(story[0].end(), 2)}) {
            end->code = StatusCode::kNotFound;
            end->sequence = 0;
          }
          InBoth(story, ShowToken);
        },
        "its token is there"),
};
INSTANTIATE_TEST_SUITE_P(Transactions, KillOracleBreachTest,
                         ::testing::ValuesIn(kBreachesOfTransactions), NameOf);

// Items that expire are put as key 6 of the streamed table and as key 8 of the plain one. The store
// deletes both before it dies.
ItemState Mortal() {
  ItemState state{3000, 0, 0};
  while (!ExpiryOf(state)) ++state.write;
  return state;
}

Story WithExpiry() {
  Story story = RightStory();
  const ItemState mortal = Mortal();
  story[0].front().sequence = (*ExpiryOf(mortal) + 1) * 1000;  // The wall clock.
  for (const uint32_t table : {kStreamed, kPlain}) {
    Event put = WriteBegin(mortal.write, Operation::kPut, table, table == kStreamed ? 6 : 8);
    put.write += table == kStreamed ? 0 : 1'000'000;  // The plain one has an id of its own,
    put.operation = table == kStreamed ? Operation::kPut : Operation::kPutState;
    put.new_state = mortal;  // and puts the same state.
    story[0].push_back(put);
    story[0].push_back(WriteEnd(put, table == kStreamed ? 190 : 192, {}, mortal));
  }
  InBoth(story, [&](auto& life) {
    InsertBeforeEnd(life, Record(3, 190, 6, {}, mortal));
    Event deletion = Record(4, 195, 6, mortal, {});
    deletion.change = ChangeKind::kRemove;
    deletion.has_new_image = false;
    deletion.by_service = true;
    InsertBeforeEnd(life, deletion);
  });
  return story;
}

TEST(KillOracleTest, WhatHasExpiredMayBeDeleted) { EXPECT_EQ(ProblemsOf(WithExpiry()), ""); }

// A write that nobody heard the end of, and the deletion of what it left, in a table whose stream
// shows neither.
TEST(KillOracleTest, WhatAPendingWriteLeftMayHaveExpired) {
  const auto story_of = [](uint64_t pending_write) {
    Story story = RightStory();
    story[0].front().sequence = (*ExpiryOf(Mortal()) + 1) * 1000;
    ItemState immortal{4000, 0, 0};
    while (ExpiryOf(immortal)) ++immortal.write;
    const Event put = WriteBegin(immortal.write, Operation::kPut, kPlain, 8);
    story[0].push_back(put);
    story[0].push_back(WriteEnd(put, 192, {}, immortal));
    story[0].push_back(WriteBegin(pending_write, Operation::kPut, kPlain, 8));
    return story;
  };
  EXPECT_EQ(ProblemsOf(story_of(Mortal().write)), "");
  uint64_t immortal = 5000;
  while (ExpiryOf({immortal, 0, 0})) ++immortal;
  EXPECT_THAT(ProblemsOf(story_of(immortal)), HasSubstr("holds none"));
}

Breach OfExpiry(const std::string& name, const std::function<void(Story&)>& commit,
                const std::string& noticed) {
  return {name,
          [commit](Story& story) {
            story = WithExpiry();
            commit(story);
          },
          noticed};
}

const std::vector<Breach> kBreachesOfExpiry = {
    OfExpiry(
        "DeletedBeforeItsTime", [](Story& story) { story[0].front().sequence -= 1000; },
        "is of the store, which had no reason"),
    OfExpiry(
        "DeletedWithoutARecordBeforeItsTime",
        [](Story& story) { story[0].front().sequence -= 1000; }, "key 8 holds none"),
    OfExpiry(
        "DeletedFiveYearsTooLate",
        [](Story& story) { story[0].front().sequence += 1000ull * (5ull * 365 * 24 * 3600 + 1); },
        "is of the store, which had no reason"),
    OfExpiry(
        "AnotherDeletionThanTheStores",
        [](Story& story) {
          InBoth(story, [](auto& life) { Find(life, EventKind::kRecord, 4).by_service = false; });
        },
        "is of a write that nobody made"),
    OfExpiry(
        "TheStoreTakesTheCreditForAWrite",
        [](Story& story) {
          InBoth(story, [](auto& life) { Find(life, EventKind::kRecord, 3).by_service = true; });
        },
        "somebody else did"),
    OfExpiry(
        "ADeletionThatWasShownIsLost",
        [](Story& story) {
          story[0].push_back(Read(EventKind::kReadBegin, kPlain, 8, {}));
          story[0].push_back(Read(EventKind::kReadEnd, kPlain, 8, {}));
          InBoth(story, [](auto& life) { InsertBeforeEnd(life, ItemOf(kPlain, 8, Mortal())); });
        },
        "none was shown and is lost"),
};
INSTANTIATE_TEST_SUITE_P(Expiry, KillOracleBreachTest, ::testing::ValuesIn(kBreachesOfExpiry),
                         NameOf);

const std::vector<Breach> kBreachesOfWrites = {
    {"AnAcknowledgedWriteIsLost",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         Find(life, EventKind::kItem, 3).new_state = kPutState;
         Erase(life, EventKind::kRecord, 2);
       });
     },
     "is in the table's history and not in its stream"},
    {"AnAcknowledgedWriteIsInTheStreamOnly",
     [](Story& story) {
       InBoth(story, [](auto& life) { Find(life, EventKind::kItem, 3).new_state = kPutState; });
     },
     "holds {write 1001"},
    {"AnAcknowledgedWriteIsInTheTableOnly",
     [](Story& story) { InBoth(story, [](auto& life) { Erase(life, EventKind::kRecord, 2); }); },
     "not in its stream"},
    {"AnAcknowledgedWriteWithoutAStreamIsLost",
     [](Story& story) { InBoth(story, [](auto& life) { Erase(life, EventKind::kItem, 5); }); },
     "holds none"},
    {"APendingWriteIsInTheTableOnly",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         life.insert(life.begin() + 2, ItemOf(kStreamed, 4, kPendingState));
       });
     },
     "holds {write 1003"},
    {"APendingWriteIsInTheStreamOnly",
     [](Story& story) {
       InBoth(story,
              [](auto& life) { InsertBeforeEnd(life, Record(3, 200, 4, {}, kPendingState)); });
     },
     "holds none"},
    {"AWriteThatNobodyMadeIsInTheStream",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         life.insert(life.begin() + 2, ItemOf(kStreamed, 4, {9, 0, 0}));
         InsertBeforeEnd(life, Record(3, 200, 4, {}, {9, 0, 0}));
       });
     },
     "is of a write that nobody made"},
    {"AnUpdateWorkedOnAnOldImage",
     [](Story& story) {
       Event& end = Find(story[0], EventKind::kWriteEnd, kUpdate);
       end.old_state = {};
       end.new_state = {kUpdate, 1, 0};
       InBoth(story, [](auto& life) {
         Find(life, EventKind::kItem, 3).new_state = {kUpdate, 1, 0};
         Find(life, EventKind::kRecord, 2).old_state = {};
         Find(life, EventKind::kRecord, 2).new_state = {kUpdate, 1, 0};
       });
     },
     "was made over none"},
    {"ASequenceNumberIsUsedAgain",
     [](Story& story) { Find(story[0], EventKind::kWriteEnd, kUpdate).sequence = 140; },
     "when it began 140 had been given"},
    {"AWriteEndsWithAWrongOutcome",
     [](Story& story) {
       Find(story[0], EventKind::kWriteEnd, kUpdate).outcome =
           static_cast<uint8_t>(WriteOutcome::kRejected);
     },
     "ended with outcome 2"},
    {"WhatWasShownIsLost",
     [](Story& story) {
       story[0].push_back(Read(EventKind::kReadBegin, kPlain, 5, {}));
       story[0].push_back(Read(EventKind::kReadEnd, kPlain, 5, kBarePendingState));
     },
     "was shown and is lost"},
    {"AReadIsStale",
     [](Story& story) {
       story[0].push_back(Read(EventKind::kReadBegin, kStreamed, 3, {}));
       story[0].push_back(Read(EventKind::kReadEnd, kStreamed, 3, kPutState));
     },
     "was shown when it had been overwritten"},
};
INSTANTIATE_TEST_SUITE_P(Writes, KillOracleBreachTest, ::testing::ValuesIn(kBreachesOfWrites),
                         NameOf);

const std::vector<Breach> kBreachesOfStreams = {
    {"AKindIsWrong",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         Find(life, EventKind::kRecord, 2).change = ChangeKind::kInsert;
         Find(life, EventKind::kRecord, 2).has_old_image = false;
       });
     },
     "INSERT over"},
    {"AnOldImageIsWrong",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         Find(life, EventKind::kRecord, 2).old_state = {kPut, 1, 0};
       });
     },
     "shows the old image"},
    {"ANewImageIsWrong",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         Find(life, EventKind::kRecord, 2).new_state = {kUpdate, 2, kPut};
       });
     },
     "and the write left"},
    {"AnImageIsMissing",
     [](Story& story) {
       InBoth(story, [](auto& life) { Find(life, EventKind::kRecord, 2).has_old_image = false; });
     },
     "does not have the images of its view"},
    {"OrdinalsHaveAHole",
     [](Story& story) {
       InBoth(story, [](auto& life) { Find(life, EventKind::kRecord, 2).ordinal = 3; });
     },
     "ordinal 3 follows 1"},
    {"RecordsAreOutOfOrder",
     [](Story& story) {
       InBoth(story, [](auto& life) {
         std::swap(Find(life, EventKind::kRecord, 1).sequence,
                   Find(life, EventKind::kRecord, 2).sequence);
       });
     },
     "sequence numbers do not rise"},
    {"ARecordIsFromBeforeTheEnabling",
     [](Story& story) {
       InBoth(story, [](auto& life) { Find(life, EventKind::kShard, 101).sequence = 150; });
     },
     "lies outside of its shard's numbers"},
    {"ARecordChanges", [](Story& story) { Find(story[2], EventKind::kRecord, 1).first = 1; },
     "the record with ordinal 1 has changed"},
    {"ARecordDisappears", [](Story& story) { Erase(story[2], EventKind::kRecord, 2); },
     "records that were seen are gone"},
    {"ARecordExpiresTooEarly",
     [](Story& story) {
       Erase(story[2], EventKind::kRecord, 1);
       Find(story[2], EventKind::kShard, 101).ordinal = 141;
       story[2].back().true_ms = kRetentionMs - 1;
     },
     "a record is gone after at most"},
    {"TwoShardsTakeTheSameChanges", [](Story& story) { AddShard(story[2], 171, 0); },
     "shards 1 and 2 overlap"},
    {"AShardIsSealedAndNoneFollows",
     [](Story& story) { Find(story[2], EventKind::kShard, 101).second = 170; },
     "its open shards do not cover all hashes"},
    {"TheShardsBehindASplitLeaveAHole",
     [](Story& story) {
       Find(story[2], EventKind::kShard, 101).second = 500;
       AddShard(story[2], 501, 7);
     },
     "its open shards leave a hole"},
    {"AShardThatWasThereAlreadyIsSeenLate",
     [](Story& story) {
       Find(story[2], EventKind::kShard, 101).second = 170;
       AddShard(story[2], 171, 0);
     },
     "shard 2 has come out of nowhere"},
    {"AStreamIsDisabledByNobody",
     [](Story& story) {
       Find(story[2], EventKind::kTable, 0).stream = 0;
       Find(story[2], EventKind::kStream, 0).outcome = 0;
       Find(story[2], EventKind::kShard, 101).second = 500;
     },
     "and stream 0, not 1 and 1"},
    {"ATableIsGone",
     [](Story& story) {
       Erase(story[2], EventKind::kItem, 5);
       std::erase_if(story[2], [](const Event& event) {
         return event.kind == EventKind::kTable && event.table == kPlain;
       });
     },
     "has id 0 and stream 0, not 2 and 0"},
};
INSTANTIATE_TEST_SUITE_P(Streams, KillOracleBreachTest, ::testing::ValuesIn(kBreachesOfStreams),
                         NameOf);

const std::vector<Breach> kBreachesOfLives = {
    {"TheEpochStays", [](Story& story) { story[2].front().first = 2; }, "epoch has not risen"},
    {"TheJournalGoesBack", [](Story& story) { story[2].front().second = 299; },
     "the journal goes on at 299"},
    {"AReaderSkipsARecord",
     [](Story& story) {
       ReadAndResume(story, {OfReader(EventKind::kAttachment, 1), Delivered(3, 200)});
     },
     "was given ordinal 3 after 1"},
    {"AReaderIsGivenARecordTwice",
     [](Story& story) {
       ReadAndResume(story, {OfReader(EventKind::kAttachment, 1), Delivered(1, 140)});
     },
     "was given ordinal 1 after 1"},
    {"AReaderGoesOnAtACheckpointThatNobodyKept",
     [](Story& story) {
       ReadAndResume(story, {OfReader(EventKind::kAttachment, 2), Delivered(3, 200)});
     },
     "a checkpoint at ordinal 2 is there, 1 was kept"},
    {"AReaderLosesItsCheckpoint", [](Story& story) { ReadAndResume(story, {Delivered(1, 140)}); },
     "has lost its checkpoint"},
    {"AReaderWasGivenWhatIsLost",
     [](Story& story) {
       ReadAndResume(story,
                     {OfReader(EventKind::kAttachment, 1), Delivered(2, 160), Delivered(3, 200)});
     },
     "ordinal 3 that a reader was given is gone"},
    {"AnEffectIsLost",
     [](Story& story) {
       Event effect{.kind = EventKind::kEffect};
       effect.stream = effect.shard = 1;
       effect.ordinal = 2;
       story[0].push_back(effect);
       effect.kind = EventKind::kEffectFound;
       effect.ordinal = 1;
       story[1].push_back(effect);
     },
     "and 2 was acknowledged"},
    {"AReaderIsToldOfAGapThatIsNone",
     [](Story& story) {
       Event gap = OfReader(EventKind::kGap, 0);
       gap.first = 150;
       gap.last = 170;
       ReadAndResume(story, {OfReader(EventKind::kAttachment, 1), gap});
     },
     "was told of a gap"},
};
INSTANTIATE_TEST_SUITE_P(Lives, KillOracleBreachTest, ::testing::ValuesIn(kBreachesOfLives),
                         NameOf);

}  // namespace
}  // namespace tailrace::crashtest
