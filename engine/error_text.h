// The service's words for what is wrong with a value, an item or a key, in one place so that they
// can follow the service.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tailrace::error_text {

// ---- Numbers. ----
inline constexpr char kNumberOverflow[] =
    "Number overflow. Attempting to store a number with magnitude larger than supported range";
inline constexpr char kNumberUnderflow[] =
    "Number underflow. Attempting to store a number with magnitude smaller than supported range";
inline constexpr char kNumberDigits[] =
    "Attempting to store more than 38 significant digits in a Number";
std::string NotANumber(std::string_view text);

// ---- Values and items. ----
inline constexpr char kNoType[] =
    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
inline constexpr char kManyTypes[] =
    "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the "
    "supported datatypes";
inline constexpr char kNullNotTrue[] =
    "One or more parameter values were invalid: Null attribute value types must have the value of "
    "true";
inline constexpr char kEmptyStringSet[] =
    "One or more parameter values were invalid: An string set  may not be empty";
inline constexpr char kEmptyNumberSet[] =
    "One or more parameter values were invalid: An number set  may not be empty";
inline constexpr char kEmptyBinarySet[] =
    "One or more parameter values were invalid: Binary sets should not be empty";
inline constexpr char kNumberSetDuplicates[] = "Input collection contains duplicates";
std::string StringSetDuplicates(std::string_view listed);  // "a, a"
std::string BinarySetDuplicates(std::string_view listed);  // "Yg==, Yg=="
inline constexpr char kItemTooLarge[] = "Item size has exceeded the maximum allowed size";
inline constexpr char kUpdatedItemTooLarge[] =
    "Item size to update has exceeded the maximum allowed size";
inline constexpr char kTooManyLevels[] =
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels "
    "beyond supported limit";

// ---- Keys. ----
inline constexpr char kKeyNotOfSchema[] = "The provided key element does not match the schema";
inline constexpr char kPartitionKeyTooLong[] =
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size "
    "limit "
    "of2048 bytes";
inline constexpr char kSortKeyTooLong[] =
    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the "
    "size limit of 1024 bytes";
std::string MissingKey(std::string_view name);
std::string EmptyStringKey(std::string_view name);
std::string EmptyBinaryKey(std::string_view name);
std::string KeyTypeMismatch(std::string_view name, std::string_view expected,
                            std::string_view actual);

inline constexpr char kKeysOfOneName[] =
    "Both the Hash Key and the Range Key element in the KeySchema have the same name";

// ---- Keys of indexes. ----
std::string IndexKeyTypeMismatch(std::string_view name, std::string_view expected,
                                 std::string_view actual, std::string_view index);
// `type`: "string" or "binary".
std::string EmptyIndexKey(std::string_view name, std::string_view type, std::string_view index);
std::string NoIndex(std::string_view index);
std::string WrongSegment(uint32_t segment, uint32_t total_segments);

// ---- Key conditions. ----
inline constexpr char kConditionType[] =
    "One or more parameter values were invalid: Condition parameter type does not match schema "
    "type";
inline constexpr char kConditionNotSupported[] = "Query key condition not supported";
inline constexpr char kBeginsWithNumber[] =
    "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or "
    "function: begins_with, operand type: N";
// The operands as "N:5".
std::string BetweenBounds(std::string_view lower, std::string_view upper);

// ---- Names. ----
// "1 validation error detected: Value at '<member>' failed to satisfy constraint: <constraint>"
std::string ConstraintFailed(std::string_view member, std::string_view constraint);

}  // namespace tailrace::error_text
