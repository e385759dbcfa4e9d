#include "engine/error_text.h"

namespace tailrace::error_text {
namespace {

template <typename... Parts>
std::string Join(const Parts&... parts) {
  std::string text;
  (text.append(parts), ...);
  return text;
}

constexpr std::string_view kInvalid = "One or more parameter values were invalid: ";
constexpr std::string_view kNotValid = "One or more parameter values are not valid. ";

}  // namespace

std::string NotANumber(std::string_view text) {
  constexpr std::string_view kText = "The parameter cannot be converted to a numeric value";
  return text.empty() ? std::string(kText) : Join(kText, ": ", text);
}

std::string StringSetDuplicates(std::string_view listed) {
  return Join(kInvalid, "Input collection [", listed, "] contains duplicates.");
}

std::string BinarySetDuplicates(std::string_view listed) {
  return Join(kInvalid, "Input collection [", listed, "]of type BS contains duplicates.");
}

std::string MissingKey(std::string_view name) {
  return Join(kInvalid, "Missing the key ", name, " in the item");
}

std::string EmptyStringKey(std::string_view name) {
  return Join(
      kNotValid,
      "The AttributeValue for a key attribute cannot contain an empty string value. Key: ", name);
}

std::string EmptyBinaryKey(std::string_view name) {
  return Join(
      kNotValid,
      "The AttributeValue for a key attribute cannot contain an empty binary value. Key: ", name);
}

std::string KeyTypeMismatch(std::string_view name, std::string_view expected,
                            std::string_view actual) {
  return Join(kInvalid, "Type mismatch for key ", name, " expected: ", expected,
              " actual: ", actual);
}

std::string IndexKeyTypeMismatch(std::string_view name, std::string_view expected,
                                 std::string_view actual, std::string_view index) {
  return "One or more parameter values were invalid: Type mismatch for Index Key " +
         std::string(name) + " Expected: " + std::string(expected) +
         " Actual: " + std::string(actual) + " IndexName: " + std::string(index);
}

std::string EmptyIndexKey(std::string_view name, std::string_view type, std::string_view index) {
  return "One or more parameter values are not valid. A value specified for a secondary index key "
         "is not supported. The AttributeValue for a key attribute cannot contain an empty " +
         std::string(type) + " value. IndexName: " + std::string(index) +
         ", IndexKey: " + std::string(name);
}

std::string NoIndex(std::string_view index) {
  return "The table does not have the specified index: " + std::string(index);
}

std::string WrongSegment(uint32_t segment, uint32_t total_segments) {
  return "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use "
         "ExclusiveStartKey with correct Segment. TotalSegments: " +
         std::to_string(total_segments) + " Segment: " + std::to_string(segment);
}

std::string BetweenBounds(std::string_view lower, std::string_view upper) {
  return Join(
      "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be greater "
      "than or equal to lower bound; lower bound operand: AttributeValue: {",
      lower, "}, upper bound operand: AttributeValue: {", upper, "}");
}

std::string ConstraintFailed(std::string_view member, std::string_view constraint) {
  return Join("1 validation error detected: Value at '", member,
              "' failed to satisfy constraint: ", constraint);
}

}  // namespace tailrace::error_text
