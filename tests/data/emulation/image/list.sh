# Every path as a process sees it, by stat and by the names of owners.
find / -xdev -mindepth 1 ! -path '/proc*' \( -type l -printf '%P\t%M %U:%G %u:%g %n -> %l\n' \) -o \
    \( -type d -printf '%P\t%M %U:%G %u:%g\n' \) -o -printf '%P\t%M %U:%G %u:%g %n\n'
