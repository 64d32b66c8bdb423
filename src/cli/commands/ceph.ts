// `cbd2rbd ceph libraries`: what this host needs before its programs can use pools on a real Ceph.
import {cephCopyFolder, copyCephLibraries} from '../../install/ceph-libraries.js';
import type {Command} from '../command.js';

const realFolder = '/usr/lib/x86_64-linux-gnu';

const libraries: Command = {
  name: 'ceph libraries',
  usage: '[FROM [TO]]',
  takes: {least: 0, most: 2},
  summary: 'Copy Ceph\'s own librados and librbd to where pools on a real Ceph look for them',
  details: [
    `FROM holds Ceph's librados.so.2 and librbd.so.1 (by default ${realFolder}).`,
    `TO is ${cephCopyFolder} by default; programs find another folder through CBD2RBD_CEPH_LIBS.`,
    'The copies get names of their own, so that one process can hold them beside ours. Run it again when Ceph is upgraded.',
  ],
  examples: ['cbd2rbd ceph libraries', 'cbd2rbd ceph libraries /usr/lib/ceph-original /srv/ceph-libraries'],
  run: async (invocation) => {
    const [from = realFolder, to = cephCopyFolder] = invocation.args;
    invocation.print({copied: copyCephLibraries({from, to})}, ({copied}) => copied);
    return 0;
  },
};

export const cephCommands: readonly Command[] = [libraries];
