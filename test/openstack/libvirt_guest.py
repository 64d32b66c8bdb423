"""A guest of libvirt on a volume, as Nova starts it from what Cinder says of an attachment. It boots from it and takes command lines
over its serial port (test/libvirt/guest-init.sh)."""

import os
import re
import socket
import subprocess
import time

URI = os.environ.get("LIBVIRT_URI")


def virsh(*words):
    return subprocess.run(["virsh", "-q", "-c", URI, *words], check=True, capture_output=True, text=True).stdout


def file(name, text):
    with open("/node/" + name, "w") as written:
        written.write(text)
    return "/node/" + name


class Guest:
    def __init__(self, name, connection):
        self.name = name
        self.said = ""
        user, secret = connection["auth_username"], connection["secret_uuid"]
        with open("/etc/ceph/ceph.client.%s.keyring" % user) as keyring:
            key = re.search(r"key = (\S+)", keyring.read()).group(1)
        virsh("secret-define", file("secret.xml", "<secret ephemeral='yes' private='yes'><uuid>%s</uuid><usage type='ceph'><name>%s</name></usage></secret>" % (secret, user)))
        virsh("secret-set-value", secret, key)
        hosts = "".join("<host name='%s' port='%s'/>" % pair for pair in zip(connection["hosts"], connection["ports"]))
        virsh("create", file("domain.xml", """<domain type='qemu'><name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none' discard='unmap'/><auth username='{user}'><secret type='ceph' uuid='{secret}'/></auth>
<source protocol='rbd' name='{image}'>{hosts}</source><target dev='vda' bus='virtio'/></disk>
<serial type='unix'><source mode='bind' path='/node/{name}.serial'/><target port='0'/></serial><memballoon model='none'/></devices></domain>
""".format(name=name, user=user, secret=secret, image=connection["name"], hosts=hosts)))
        self.serial = socket.socket(socket.AF_UNIX)
        self.serial.connect("/node/%s.serial" % name)
        self.hear(r"guest is up")

    def hear(self, wanted, limit=300):
        until = time.monotonic() + limit
        while not (found := re.search(wanted, self.said)):
            self.serial.settimeout(max(0.1, until - time.monotonic()))
            self.said += self.serial.recv(4096).decode(errors="replace")
        return found

    def run(self, line):
        """The line's exit code there."""
        token = "line%d" % len(self.said)
        self.serial.sendall(("%s %s\n" % (token, line)).encode())
        return int(self.hear(token + r" ended in (\d+)").group(1))

    def end(self):
        self.serial.close()
        virsh("destroy", self.name)
