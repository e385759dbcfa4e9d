// Format("{} of {}", a, b): text from values, checked at compile time; Cat(a, b, ...): values one
// after another.
#pragma once

#include <fmt/format.h>

#include <iterator>
#include <string>

namespace tailrace::tools {

template <typename... Values>
std::string Format(fmt::format_string<Values...> format, Values&&... values) {
  return fmt::format(format, std::forward<Values>(values)...);
}

template <typename... Values>
std::string Cat(const Values&... values) {
  std::string text;
  (fmt::format_to(std::back_inserter(text), "{}", values), ...);
  return text;
}

}  // namespace tailrace::tools
