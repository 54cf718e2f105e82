# cmake -DOUTPUT=FILE -DDIRECTORY=DIR -P embed.cmake: writes the assets in DIR to FILE, as what page/assets.h declares.
set(text "#include \"page/assets.h\"\n\nnamespace starling::page {\n")
foreach(asset index.html=kIndexHtml page.css=kPageCss page.js=kPageJs)
  string(REGEX MATCH "^(.*)=(.*)$" pair "${asset}")
  set(name "${CMAKE_MATCH_1}")
  set(constant "${CMAKE_MATCH_2}")
  file(READ "${DIRECTORY}/${name}" hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," letters "${hex}")
  string(APPEND text
    "namespace {\nconstexpr char ${constant}Letters[] = {${letters}};\n}\n"
    "constexpr std::string_view ${constant}{${constant}Letters, sizeof(${constant}Letters)};\n")
endforeach()
file(WRITE "${OUTPUT}" "${text}}  // namespace starling::page\n")
