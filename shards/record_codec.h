// Records of shard logs as bytes. Pure functions; any input is safe. Format:
// docs/shard-log-format.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shards/shard_reader.h"
#include "wal/frame.h"
#include "wal/status.h"

namespace tailrace::shards {

// ---- The payload's fixed prefix, before frames::ShardRecord; little-endian. ----
inline constexpr uint64_t kRecordChainAt = 0;      // u64: ChainHash
inline constexpr uint64_t kRecordOrdinalAt = 8;    // u64
inline constexpr uint64_t kRecordPreviousAt = 16;  // u64: the shard's sequence number before
inline constexpr uint64_t kRecordAgeAt = 24;       // u64: age_ms
inline constexpr uint64_t kRecordPrefixBytes = 32;

// The chain hash of a record: over everything in its payload but the hash, its own sequence number
// and, through the hash of the record before, all earlier records.
uint64_t ChainHash(ByteView payload, SequenceNumber sequence, uint64_t previous_chain);

// Bytes that the record takes as a frame.
uint64_t RecordFrameBytes(const RecordView& record);

// Appends the record as a frame and returns its chain hash. `record.chain` is not read.
uint64_t AppendRecordFrame(std::string& target, const RecordView& record, uint64_t previous_chain,
                           wal::FrameSeed seed, Epoch epoch);

// Reads a payload; views point into it. kCorruption and kUnsupported name the field that is wrong.
Status DecodeRecord(ByteView payload, SequenceNumber sequence, RecordView& record);

// OK when `record`, whose payload this is, comes right after `before`; otherwise kCorruption says
// what does not fit.
Status CheckFollows(const LogPoint& before, const RecordView& record, ByteView payload);

}  // namespace tailrace::shards
