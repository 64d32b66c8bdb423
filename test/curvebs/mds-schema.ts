// The messages of the MDS's RPCs: field numbers and types as seen in the captures, and the way between their protobuf form and
// the JSON form (brpc's own). Knows no rule.

import { MessageWriter, readFields } from '../../src/backend/curvebs/protobuf.js';

/** 'text', 'number', 'bool', the name of an enum or of a message; [] for a repeated one. */
type FieldType = string;
type MessageShape = Readonly<Record<string, readonly [number, FieldType]>>;

const ENUMS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  Status: {
    kOK: 0, kFileExists: 101, kFileNotExists: 102, kNotDirectory: 103, kParaError: 104, kShrinkBiggerFile: 105, kExtentUnitError: 106,
    kSegmentNotAllocated: 107, kNotSupported: 110, kOwnerAuthFail: 111, kDirNotEmpty: 112, kFileUnderSnapShot: 120, kSnapshotFileNotExists: 123,
    kFileOccupied: 126, kFileIdNotMatch: 130, kFileUnderDeleting: 131, kFileLengthNotSupported: 132, kDeleteFileBeingCloned: 133,
    kPoolsetNotExist: 141, kStorageError: 501, kInternalError: 502,
  },
  FileType: { INODE_DIRECTORY: 0, INODE_PAGEFILE: 1, INODE_APPENDFILE: 2, INODE_APPENDECFILE: 3, INODE_SNAPSHOT_PAGEFILE: 4 },
  FileStatus: { kFileCreated: 0, kFileDeleting: 1, kFileCloning: 2, kFileCloneMetaInstalled: 3, kFileCloned: 4, kFileBeingCloned: 5 },
  ThrottleType: { IOPS_TOTAL: 1, IOPS_READ: 2, IOPS_WRITE: 3, BPS_TOTAL: 4, BPS_READ: 5, BPS_WRITE: 6 },
};

const signed: MessageShape = { fileName: [1, 'text'], owner: [2, 'text'], signature: [3, 'text'], date: [4, 'number'] };
const snapshotCall: MessageShape = { fileName: [1, 'text'], owner: [2, 'text'], seq: [3, 'number'], signature: [4, 'text'], date: [5, 'number'] };
const info: MessageShape = { statusCode: [1, 'Status'], fileInfo: [2, 'FileInfo'] };
const status: MessageShape = { statusCode: [1, 'Status'] };
const fileNameOnly: MessageShape = { fileName: [1, 'text'] };

const MESSAGES: Readonly<Record<string, MessageShape>> = {
  FileInfo: {
    id: [1, 'number'], fileName: [2, 'text'], parentId: [3, 'number'], fileType: [4, 'FileType'], owner: [5, 'text'], chunkSize: [6, 'number'],
    segmentSize: [7, 'number'], length: [8, 'number'], ctime: [9, 'number'], seqNum: [10, 'number'], fileStatus: [11, 'FileStatus'],
    originalFullPathName: [12, 'text'], cloneSource: [13, 'text'], cloneLength: [14, 'number'], stripeUnit: [15, 'number'],
    stripeCount: [16, 'number'], throttleParams: [17, 'ThrottleParams'], epoch: [18, 'number'], poolset: [19, 'text'], blocksize: [20, 'number'],
  },
  ThrottleParams: { throttleParams: [1, 'Throttle[]'] },
  Throttle: { type: [1, 'ThrottleType'], limit: [2, 'number'], burst: [3, 'number'], burstLength: [4, 'number'] },
  SizeMap: { key: [1, 'number'], value: [2, 'number'] },
  Address: { ip: [1, 'text'], port: [2, 'number'] },
  CsLoc: { hostIp: [2, 'text'], port: [3, 'number'] },

  CreateFileRequest: {
    fileName: [1, 'text'], owner: [2, 'text'], fileType: [3, 'FileType'], fileLength: [4, 'number'], signature: [5, 'text'], date: [6, 'number'],
    stripeUnit: [7, 'number'], stripeCount: [8, 'number'], poolset: [9, 'text'],
  },
  CreateFileResponse: status,
  GetFileInfoRequest: signed,
  GetFileInfoResponse: info,
  ListDirRequest: signed,
  ListDirResponse: { statusCode: [1, 'Status'], fileInfo: [2, 'FileInfo[]'] },
  DeleteFileRequest: { ...signed, fileId: [5, 'number'], forceDelete: [6, 'bool'] },
  DeleteFileResponse: status,
  RecoverFileRequest: signed,
  RecoverFileResponse: status,
  ExtendFileRequest: { fileName: [1, 'text'], owner: [2, 'text'], newSize: [3, 'number'], signature: [4, 'text'], date: [5, 'number'] },
  ExtendFileResponse: status,
  RenameFileRequest: {
    oldFileName: [1, 'text'], newFileName: [2, 'text'], owner: [3, 'text'], oldFileId: [4, 'number'], newFileId: [5, 'number'],
    signature: [6, 'text'], date: [7, 'number'],
  },
  RenameFileResponse: status,
  ChangeOwnerRequest: { fileName: [1, 'text'], newOwner: [2, 'text'], rootOwner: [3, 'text'], signature: [4, 'text'], date: [5, 'number'] },
  ChangeOwnerResponse: status,
  UpdateFileThrottleParamsRequest: { ...signed, throttleParams: [5, 'Throttle'] },
  UpdateFileThrottleParamsResponse: status,
  GetAllocatedSizeRequest: fileNameOnly,
  GetAllocatedSizeResponse: { statusCode: [1, 'Status'], allocatedSize: [2, 'number'], allocSizeMap: [3, 'SizeMap[]'] },
  GetFileSizeRequest: fileNameOnly,
  GetFileSizeResponse: { statusCode: [1, 'Status'], fileSize: [2, 'number'] },
  GetOrAllocateSegmentRequest: {
    fileName: [1, 'text'], owner: [2, 'text'], offset: [3, 'number'], allocateIfNotExist: [4, 'bool'], signature: [6, 'text'], date: [7, 'number'],
  },
  GetOrAllocateSegmentResponse: { statusCode: [1, 'Status'], pageFileSegment: [2, 'Segment'] },
  Segment: { logicalPoolID: [1, 'number'], segmentSize: [2, 'number'], chunkSize: [3, 'number'], startOffset: [4, 'number'] },
  FindFileMountPointRequest: fileNameOnly,
  FindFileMountPointResponse: { statusCode: [1, 'Status'], clientInfo: [2, 'Address[]'] },
  IncreaseFileEpochRequest: signed,
  IncreaseFileEpochResponse: { statusCode: [1, 'Status'], fileInfo: [2, 'FileInfo'], csLocs: [3, 'CsLoc[]'] },
  CreateSnapShotRequest: signed,
  CreateSnapShotResponse: { statusCode: [1, 'Status'], snapShotFileInfo: [2, 'FileInfo'] },
  ListSnapShotRequest: snapshotCall,
  ListSnapShotResponse: { statusCode: [1, 'Status'], fileInfo: [2, 'FileInfo[]'] },
  DeleteSnapShotRequest: snapshotCall,
  DeleteSnapShotResponse: status,
  CheckSnapShotStatusRequest: snapshotCall,
  CheckSnapShotStatusResponse: { statusCode: [1, 'Status'], fileStatus: [2, 'FileStatus'] },
};

/** A message's JSON form from its bytes; fields that the shape does not name are passed over. Throws BadMessage. */
export function decodeMessage(name: string, bytes: Buffer): Record<string, unknown> {
  const shape = MESSAGES[name]!;
  const byNumber = new Map(Object.entries(shape).map(([field, [number, type]]) => [number, { field, type }]));
  const found: Record<string, unknown> = {};
  for (const { number, value } of readFields(bytes)) {
    const known = byNumber.get(number);
    if (!known) continue;
    const type = known.type.replace('[]', '');
    const one = decodeValue(type, value);
    if (known.type.endsWith('[]')) found[known.field] = [...((found[known.field] as unknown[] | undefined) ?? []), one];
    else found[known.field] = one;
  }
  return found;
}

function decodeValue(type: string, value: bigint | Buffer): unknown {
  if (typeof value !== 'bigint') return type === 'text' ? value.toString() : decodeMessage(type, value);
  if (type === 'bool') return value !== 0n;
  const names = ENUMS[type];
  if (names) return Object.keys(names).find((name) => BigInt(names[name]!) === value) ?? Number(value);
  return Number(value);
}

/** A message's bytes from its JSON form, fields in the order of their numbers. */
export function encodeMessage(name: string, content: Readonly<Record<string, unknown>>): Buffer {
  const out = new MessageWriter();
  const fields = Object.entries(MESSAGES[name]!).sort((a, b) => a[1][0] - b[1][0]);
  for (const [field, [number, type]] of fields) {
    const value = content[field];
    if (value === undefined) continue;
    const single = type.replace('[]', '');
    for (const one of type.endsWith('[]') ? (value as unknown[]) : [value]) {
      if (single === 'text') out.bytes(number, String(one));
      else if (MESSAGES[single]) out.bytes(number, encodeMessage(single, one as Record<string, unknown>));
      else if (typeof one === 'string') out.varint(number, ENUMS[single]?.[one] ?? 0);
      else out.varint(number, Number(one));
    }
  }
  return out.finish();
}
