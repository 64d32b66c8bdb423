// mon.command: a monitor command in JSON, as rados_mon_command sends it.
import {runMonCommand} from '../../ceph/mon.js';
import type {Cluster} from '../../ceph/command.js';
import type {Methods} from '../method.js';

export function monMethods(cluster: Cluster): Methods {
  return {
    'mon.command': async ({identity, params}) => {
      const input = Buffer.from(params.text('inbuf', ''), 'base64');
      const {rc, outbuf, outs} = await runMonCommand(cluster, identity, params.texts('cmd'), input);
      return {result: {rc, outbuf: outbuf.toString('base64'), outs}};
    },
  };
}
