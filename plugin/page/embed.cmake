# The page's files as they go into the program: without indentation and without comments that have lines of their own.
# What is read by people lies in plugin/page; what a browser reads is fetched with every visit.
#
#   cmake -DFROM=FOLDER -DTO=FOLDER -DFILES=NAME,NAME,... -P embed.cmake
#
# No text of the page may run over several lines, for its second line would lose its indentation; and a comment begins
# where a line begins, or stays.
string(REPLACE "," ";" FILES "${FILES}")
foreach(file IN LISTS FILES)
  file(READ "${FROM}/${file}" text)
  string(REGEX REPLACE "\n[ \n]+" "\n" text "\n${text}")
  string(REGEX REPLACE "\n/\\*[^*]*\\*+([^/*][^*]*\\*+)*/[ ]*\n" "\n" text "${text}")
  string(REGEX REPLACE "\n/\\*[^*]*\\*+([^/*][^*]*\\*+)*/[ ]*\n" "\n" text "${text}") # one that followed another
  string(SUBSTRING "${text}" 1 -1 text)
  file(WRITE "${TO}/${file}" "${text}")
endforeach()
