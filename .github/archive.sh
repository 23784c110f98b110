#!/usr/bin/env bash
# Packs the program that was built for TARGET, with the lab and the licences, as `cargo binstall` expects it: bash .github/archive.sh TARGET [RELEASE_FOLDER]
set -euo pipefail
target=$1
release=${2:-target/$target/release}
name=unforget-$target
folder=$(mktemp -d)/$name
mkdir -p "$folder"
case $target in
  *windows*) program=unforget.exe ;;
  *) program=unforget ;;
esac
cp "$release/$program" README.md LICENSE-MIT LICENSE-APACHE "$folder/"
# the lab's model and tasks, which the program finds below the folder that it is started in
mkdir "$folder/datasets"
cp -R datasets/lab "$folder/datasets/"
case $target in
  *windows*) (cd "$folder/.." && 7z a -bd "$OLDPWD/$name.zip" "$name") && archive=$name.zip ;;
  *) tar -C "$folder/.." -czf "$name.tar.gz" "$name" && archive=$name.tar.gz ;;
esac
if command -v sha256sum >/dev/null; then sha256sum "$archive"; else shasum -a 256 "$archive"; fi > "$archive.sha256"
cat "$archive.sha256"
