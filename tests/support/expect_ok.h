// EXPECT_OK and ASSERT_OK: a Status or Result is OK, or the failure shows its message.
#pragma once

#include <gtest/gtest.h>

#include "wal/status.h"

namespace tailrace::test {

inline ::testing::AssertionResult IsOk(const char* expression, const Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << expression << " is " << status.ToString();
}

template <typename T>
::testing::AssertionResult IsOk(const char* expression, const Result<T>& result) {
  return IsOk(expression, result.status());
}

}  // namespace tailrace::test

#define EXPECT_OK(expression) EXPECT_PRED_FORMAT1(::tailrace::test::IsOk, (expression))
#define ASSERT_OK(expression) ASSERT_PRED_FORMAT1(::tailrace::test::IsOk, (expression))
