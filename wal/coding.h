// Fixed-width integers in bytes: little-endian in headers, big-endian where bytes must sort as
// numbers.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

namespace tailrace {

static_assert(std::endian::native == std::endian::little,
              "Tailrace is built for little-endian CPUs");

template <typename T>
void StoreLittle(char* target, T value) {
  std::memcpy(target, &value, sizeof value);
}

template <typename T>
T LoadLittle(const char* source) {
  T value;
  std::memcpy(&value, source, sizeof value);
  return value;
}

inline void AppendBig64(std::string& target, uint64_t value) {
  const uint64_t swapped = __builtin_bswap64(value);
  target.append(reinterpret_cast<const char*>(&swapped), sizeof swapped);
}

inline uint64_t LoadBig64(const char* source) {
  return __builtin_bswap64(LoadLittle<uint64_t>(source));
}

}  // namespace tailrace
