// The process of a crash test that dies; what it is told and what it tells is in protocol.h.
#pragma once

namespace tailrace::crashtest {

// Lives by the plan on descriptor kPlanDescriptor, and tells of it on kEventDescriptor, until it is
// told to stop or is killed. Returns the exit code of the process.
int RunChild();

}  // namespace tailrace::crashtest
