if(TARGET cnnbn-data)
  cnnbn_add_script_test(cli-data test_data.sh LABELS cli)
endif()
