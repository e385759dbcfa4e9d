// The tailrace command.
#include "tools/command_line.h"

int main(int argc, char** argv) { return tailrace::tools::RunCommandLine(argc, argv); }
