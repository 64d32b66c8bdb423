// All of librados' and librbd's C API, whichever release of its headers is installed (16 and later): what a
// definition of an exported function includes. Types that the installed headers lack are added; CMake says
// which (CBD_LACKS_*).
#pragma once

#include <rados/librados.h>
#include <rbd/librbd.h>

#ifdef CBD_LACKS_ENCRYPTION_SPEC  // 18.2
// The format that fits any LUKS header.
inline constexpr auto RBD_ENCRYPTION_FORMAT_LUKS = static_cast<rbd_encryption_format_t>(2);

typedef struct {
  const char* passphrase;
  size_t passphrase_size;
} rbd_encryption_luks_format_options_t;

typedef struct {
  rbd_encryption_format_t format;
  rbd_encryption_options_t opts;
  size_t opts_size;
} rbd_encryption_spec_t;
#endif

#ifdef CBD_LACKS_SNAP_TRASH_NAMESPACE  // 20.2
typedef struct {
  rbd_snap_namespace_type_t original_namespace_type;
  char* original_name;
} rbd_snap_trash_namespace_t;
#endif

#ifdef CBD_LACKS_GROUP_SNAP_INFO2  // 20.2
typedef enum { RBD_GROUP_SNAP_NAMESPACE_TYPE_USER = 0 } rbd_group_snap_namespace_type_t;

typedef struct {
  char* image_name;
  int64_t pool_id;
  uint64_t snap_id;
} rbd_group_image_snap_info_t;

typedef struct {
  char* id;
  char* name;
  char* image_snap_name;
  rbd_group_snap_state_t state;
  rbd_group_snap_namespace_type_t namespace_type;
  size_t image_snaps_count;
  rbd_group_image_snap_info_t* image_snaps;
} rbd_group_snap_info2_t;
#endif

// rbd_diff_iterate3's flags (18.2.5).
#ifndef RBD_DIFF_ITERATE_FLAG_INCLUDE_PARENT
#define RBD_DIFF_ITERATE_FLAG_INCLUDE_PARENT (1U << 0)
#define RBD_DIFF_ITERATE_FLAG_WHOLE_OBJECT (1U << 1)
#endif

// The exported names belong to the dispatcher (generated), which asks whether a handle is a real Ceph's. What
// our own parts define under these names gets other symbols, and what they call by them is their own.
#ifdef CBD_ABI_NATIVE
#define CBD_NATIVE_NAME(symbol) __asm__(symbol)
#else
#define CBD_NATIVE_NAME(symbol)
#endif
#include "declarations.h"
#undef CBD_NATIVE_NAME
