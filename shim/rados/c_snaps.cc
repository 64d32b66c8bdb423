// Snapshots of librados objects are not kept here. These two have no result but the completion's: it ends, refused.
#include <errno.h>

#include "rados/completion.h"

using cbd::rados::Completion;

extern "C" {

void rados_aio_ioctx_selfmanaged_snap_create(rados_ioctx_t, rados_snap_t*, rados_completion_t completion) {
  Completion::from(completion)->start();
  Completion::from(completion)->finish(-EOPNOTSUPP);
}

void rados_aio_ioctx_selfmanaged_snap_remove(rados_ioctx_t, rados_snap_t, rados_completion_t completion) {
  Completion::from(completion)->start();
  Completion::from(completion)->finish(-EOPNOTSUPP);
}

}  // extern "C"
