// What a volume of a CurveBS layer asks the daemon. Knows nothing of images beyond their handle.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "block/volume_nebd.h"
#include "control/client.h"

namespace cbd::rbd {

// Whether the layer is this handle's to change still.
block::nebd::AskLeave leave_question(std::shared_ptr<control::Client> client, uint64_t handle, const std::string& layer);

// What of the layer's volume takes space. It is never waited for longer than a moment: nobody's I/O may hang on it (QEMU asks on its
// main thread), and who does not know takes all for data. After a question without an answer none is asked for a while.
block::AskAllocated allocated_question(std::shared_ptr<control::Client> client, uint64_t handle, const std::string& layer);

}  // namespace cbd::rbd
