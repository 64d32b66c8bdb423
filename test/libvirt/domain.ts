// The XML of domains, disks and secrets that the tests give to libvirt.

/** The secret that holds a user's key. */
export const SECRET = '6f7d4d0e-2f4e-4a53-9d8a-0c5a4f1f5f01';

export function secretXml(user: string): string {
  return `<secret ephemeral='yes' private='yes'><uuid>${SECRET}</uuid><usage type='ceph'><name>client.${user} secret</name></usage></secret>`;
}

export interface Disk {
  readonly name: string;
  readonly target: string;
  /** The user whose key the secret holds; without one QEMU is told neither. */
  readonly user?: string;
}

export function diskXml(disk: Disk): string {
  const auth = disk.user === undefined ? '' : `<auth username='${disk.user}'><secret type='ceph' uuid='${SECRET}'/></auth>`;
  return `<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/>${auth}
    <source protocol='rbd' name='${disk.name}'><host name='127.0.0.1' port='6789'/></source><target dev='${disk.target}' bus='virtio'/></disk>`;
}

export interface Domain {
  readonly name: string;
  readonly disks: readonly Disk[];
  readonly emulator?: string;
}

/** A small emulated machine that boots from its first disk; its serial port is the socket NAME.serial in /node. */
export function domainXml(domain: Domain): string {
  return `<domain type='qemu'><name>${domain.name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features><clock offset='utc'/>
    <devices><emulator>${domain.emulator ?? '/usr/bin/qemu-system-x86_64'}</emulator>${domain.disks.map(diskXml).join('')}
    <serial type='unix'><source mode='bind' path='/node/${domain.name}.serial'/><target port='0'/></serial>
    <memballoon model='none'/></devices></domain>`;
}
