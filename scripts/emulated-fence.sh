# shellcheck shell=bash
# shellcheck disable=SC2154 # build, fc, image and work are emulated.sh's
# emulated-fence.sh: internal/vmm/fence_test.c on the image's own kernel (Debian's 6.1); sourced by
# emulated-test.sh. fence_in_lease SLUG runs it as root of a guest, fence_on_initramfs on a system
# whose root is an initramfs, which pivot_root can't leave.

fence_programs=("$top/$build/test/vmm/fence_test" "$top/$build/tools/taken-firecracker"
    "$top/$build/tools/standin-jailer")

# fence_tree DIR: the test, its programs as it looks for them, and the libraries that they need.
fence_tree() {
    local program lib
    mkdir -p "$1/fence/test/vmm" "$1/fence/tools" "$1/fence/lib" || return
    cp "${fence_programs[0]}" "$1/fence/test/vmm" || return
    cp "${fence_programs[@]:1}" "$1/fence/tools" || return
    while read -r lib; do
        cp -L "$lib" "$1/fence/lib" || return
    done < <(for program in "${fence_programs[@]}"; do ldd "$program"; done 2>/dev/null |
        grep -oE '/[^ ]*/lib(cmocka|cjson)\.[^ ]*' | sort -u)
}

fence_in_lease() {
    fence_tree "$work" && "$fc" cp "$work/fence" "$1:/tmp" || return
    "$fc" run --id "$1" -q --no-sync -- sudo sh -c \
        'mv /tmp/fence /opt && chown -R root:root /opt/fence && uname -r &&
        CI=true LD_LIBRARY_PATH=/opt/fence/lib /opt/fence/test/vmm/fence_test 2>&1'
}

# What mounts the kernel's filesystems, then the test; the last line has its exit code.
fence_init() {
    cat <<'EOF'
#!/bin/sh
export PATH=/usr/bin CI=true LD_LIBRARY_PATH=/fence/lib
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
/fence/test/vmm/fence_test
echo "exit code $?"
echo o >/proc/sysrq-trigger
while :; do :; done
EOF
}

fence_on_initramfs() {
    local dir=$work/initramfs name file lib
    mkdir -p "$dir"/{usr/bin,usr/lib,usr/lib64,proc,sys,dev,run,tmp,etc} || return
    ln -s usr/bin usr/lib usr/lib64 "$dir" || return
    echo root:x:0:0::/:/bin/sh >"$dir/etc/passwd"
    fence_tree "$dir" || return
    for name in sh mount ip; do
        file=$(readlink -f "$(command -v "$name")") && cp "$file" "$dir/usr/bin/$name" || return
        while read -r lib; do
            mkdir -p "$dir${lib%/*}" && cp -L "$lib" "$dir$lib" || return
        done < <(ldd "$file" | grep -o '/[^ ]*')
    done
    fence_init >"$dir/init"
    chmod 755 "$dir/init"
    (cd "$dir" && find . | cpio -o -H newc --quiet -R 0:0) >"$work/initramfs.cpio" || return
    timeout 600 qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 512M \
        -nodefaults -no-reboot -display none -serial stdio -kernel "$image/vmlinux" \
        -initrd "$work/initramfs.cpio" -append 'console=ttyS0 quiet panic=-1 cryptomgr.notests=1' \
        </dev/null | tr -d '\r' | tee "$work/initramfs.log"
    grep -qx 'exit code 0' "$work/initramfs.log"
}
