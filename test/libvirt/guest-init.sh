#!/bin/busybox sh
# A guest's only program: loads what its disks need, then runs each line that comes over the serial port and says how it ended.
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /tmp /mnt
for module in virtio_pci virtio_blk ext4; do modprobe "$module"; done
echo 3 >/proc/sys/kernel/printk
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
echo 'guest is up'
while read -r token line; do
  eval "$line"
  echo "$token ended in $?"
done
