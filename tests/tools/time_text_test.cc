// Times, durations and bounds as people write them.
#include "tools/time_text.h"

#include <gtest/gtest.h>

#include "tools/bounds.h"

namespace tailrace::tools {
namespace {

constexpr uint64_t kMoment = 1'588'993'445'000;  // 2020-05-09T03:04:05Z

TEST(TimeText, Prints) {
  EXPECT_EQ(TimeText(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(TimeText(kMoment + 7), "2020-05-09T03:04:05.007Z");
  EXPECT_EQ(TimeText(951'782'400'000), "2000-02-29T00:00:00.000Z");
  EXPECT_EQ(TimeText(UINT64_MAX), "18446744073709551615ms");
}

TEST(TimeText, ReadsWhatPeopleWrite) {
  for (const char* text : {"2020-05-09T03:04:05Z", "2020-05-09T03:04:05z", "2020-05-09 03:04:05",
                           "2020-05-09T03:04:05", "2020-05-09T05:04:05+02:00",
                           "2020-05-09T00:34:05-0230", "1588993445", "1588993445000"}) {
    const auto moment = ParseTime(text);
    ASSERT_TRUE(moment.ok()) << text << ": " << moment.status().ToString();
    EXPECT_EQ(*moment, kMoment) << text;
  }
  EXPECT_EQ(ParseTime("2020-05-09T03:04:05.25Z").value(), kMoment + 250);
  EXPECT_EQ(ParseTime("1588993445.5").value(), kMoment + 500);
  EXPECT_EQ(ParseTime("2020-05-09T03:04Z").value(), kMoment - 5000);
  EXPECT_EQ(ParseTime("2020-05-09").value(), kMoment - (3 * 3600 + 4 * 60 + 5) * 1000);
}

TEST(TimeText, RefusesTheRest) {
  for (const char* text :
       {"", "yesterday", "2020-13-01", "2020-02-30", "2020-05-09T", "2020-05-09T24:00:00Z",
        "2020-05-09T03:60Z", "2020-05-09T03:04:05Zx", "2020-5-9", "1969-12-31", "12345678901234567",
        "1588993445.", "-5", "2020-05-09T03:04:05+2"}) {
    const auto moment = ParseTime(text);
    ASSERT_FALSE(moment.ok()) << text;
    EXPECT_EQ(moment.status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(TimeText, ReadsEveryTimeThatItPrints) {
  for (uint64_t ms = 0; ms < 4'000'000'000'000; ms += 86'400'000ull * 13 + 12'345'679) {
    EXPECT_EQ(ParseTime(TimeText(ms)).value(), ms) << TimeText(ms);
  }
}

TEST(TimeText, Durations) {
  EXPECT_EQ(ParseDuration("90").value(), 90'000u);
  EXPECT_EQ(ParseDuration("250ms").value(), 250u);
  EXPECT_EQ(ParseDuration("15m").value(), 900'000u);
  EXPECT_EQ(ParseDuration("24h").value(), 86'400'000u);
  EXPECT_EQ(ParseDuration("7d").value(), 604'800'000u);
  for (const char* text : {"", "0", "h", "24 h", "24w", "-1h", "99999999999h"}) {
    EXPECT_EQ(ParseDuration(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(Bounds, AreIncluded) {
  const Bounds bounds =
      ParseBounds("100000000000000000005", "100000000000000000007", PlainPositions::kNo).value();
  EXPECT_EQ(bounds.PlaceOf(4, 0), Bounds::Place::kBefore);
  EXPECT_EQ(bounds.PlaceOf(5, 0), Bounds::Place::kWithin);
  EXPECT_EQ(bounds.PlaceOf(7, 0), Bounds::Place::kWithin);
  EXPECT_EQ(bounds.PlaceOf(8, 0), Bounds::Place::kBehind);
}

TEST(Bounds, AnUpperMomentMeansAllOfIt) {
  const auto last_ms = [](const char* to) {
    return ParseBounds("", to, PlainPositions::kNo)->last_ms.value();
  };
  EXPECT_EQ(last_ms("2020-05-09T03:04:05Z"), kMoment + 999);
  EXPECT_EQ(last_ms("2020-05-09T03:04:05.100Z"), kMoment + 100);
  EXPECT_EQ(last_ms("2020-05-09T03:04Z"), kMoment - 5000 + 59'999);
  EXPECT_EQ(last_ms("1588993445"), kMoment + 999);
  EXPECT_EQ(last_ms("2020-05-09"), ParseTime("2020-05-10").value() - 1);
}

TEST(Bounds, ABareNumberIsATimeOrAPosition) {
  EXPECT_EQ(ParseBounds("8192", "", PlainPositions::kYes)->first_position, 8192u);
  EXPECT_EQ(ParseBounds("8192", "", PlainPositions::kNo)->first_ms, 8'192'000u);
  EXPECT_FALSE(ParseBounds("nonsense", "", PlainPositions::kYes).ok());
  EXPECT_FALSE(
      ParseBounds("", "99999999999999999999999999999999999999999", PlainPositions::kNo).ok());
}

}  // namespace
}  // namespace tailrace::tools
