#include "engine/consumer_host.h"

namespace tailrace::engine {

Result<ConsumerHost*> ConsumerHost::Of(Store& store) {
  auto* const host = dynamic_cast<ConsumerHost*>(&store);
  if (host == nullptr) return InvalidArgument("this store cannot keep consumers");
  return host;
}

}  // namespace tailrace::engine
